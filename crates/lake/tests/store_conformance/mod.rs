//! What every store must do alike. `conformance!(open)` makes a test of each; `open` gets the test's
//! name and returns a fresh store with whatever must live as long, or `None` to leave the test out.
#![allow(unreachable_pub)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tripline_lake::environment::SystemEntropy;
use tripline_lake::store::{Completed, Condition, ETag, ErrorKind, MIN_PART_BYTES, ObjectStore, Put, probe};

pub type Store = Arc<dyn ObjectStore>;

macro_rules! conformance {
    ($open:path) => {
        store_conformance::conformance! { $open;
            an_object_is_created_once
            an_object_is_replaced_only_by_its_tag
            a_missing_object_is_not_replaced
            a_weak_or_foreign_tag_never_replaces
            of_racing_creators_exactly_one_wins
            of_racing_replacers_exactly_one_wins
            an_object_may_be_empty_or_large
            an_absent_object_is_none_and_deleting_it_is_fine
            a_deleted_key_can_be_created_again
            times_are_those_of_the_writes
            a_listing_is_in_byte_order_of_whole_keys
            a_listing_begins_after_the_given_key
            a_listing_ends_at_its_limit
            a_listing_of_more_than_a_thousand_is_whole
            folders_are_the_next_components_with_objects_below
            keys_may_have_odd_characters
            bad_keys_are_refused_before_anything_is_done
            an_upload_is_invisible_until_it_is_complete
            a_repeated_completion_changes_nothing
            an_unknown_upload_is_gone
            an_upload_belongs_to_its_key
            a_part_may_be_sent_again
            a_completion_with_wrong_parts_is_refused_and_can_be_repeated_rightly
            an_upload_replaces_what_is_at_its_key
            racing_completions_agree
            the_probe_accepts_it
        }
    };
    ($open:path; $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                if let Some((store, _keep)) = $open(stringify!($name)).await {
                    store_conformance::$name(store).await;
                }
            }
        )+
    };
}
pub(crate) use conformance;

const KEY: &str = "_journal/lane/00000001";

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn tag_of(put: Put) -> ETag {
    match put {
        Put::Stored { tag } => tag,
        Put::Refused => panic!("refused"),
    }
}

async fn create(store: &Store, key: &str, text: &str) -> ETag {
    tag_of(store.put(key, body(text), Condition::Absent).await.unwrap())
}

async fn text(store: &Store, key: &str) -> Option<String> {
    let found = store.get(key).await.unwrap()?;
    assert_eq!(found.meta.key, key);
    assert_eq!(found.meta.size, found.body.len() as u64);
    Some(String::from_utf8(found.body.to_vec()).unwrap())
}

async fn keys(store: &Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    store.list(prefix, after, limit).await.unwrap().into_iter().map(|meta| meta.key).collect()
}

pub async fn an_object_is_created_once(store: Store) {
    let tag = create(&store, KEY, "first").await;
    assert_eq!(store.put(KEY, body("second"), Condition::Absent).await.unwrap(), Put::Refused);
    // Equal content changes nothing: a name is taken once.
    assert_eq!(store.put(KEY, body("first"), Condition::Absent).await.unwrap(), Put::Refused);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("first"));
    assert_eq!(store.get(KEY).await.unwrap().unwrap().meta.tag, tag);
    let head = store.head(KEY).await.unwrap().unwrap();
    assert_eq!((head.key.as_str(), head.size, &head.tag), (KEY, 5, &tag));
    let listed = store.list(KEY, None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].key.as_str(), listed[0].size), (KEY, 5));
    assert!(listed[0].tag == tag || listed[0].tag.is_weak());
}

pub async fn an_object_is_replaced_only_by_its_tag(store: Store) {
    let first = create(&store, KEY, "one").await;
    let swap = |text: &str, tag: &ETag| store.put(KEY, body(text), Condition::Matches(tag.clone()));
    let second = tag_of(swap("two", &first).await.unwrap());
    assert_ne!(first, second);
    assert_eq!(swap("late", &first).await.unwrap(), Put::Refused);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("two"));
    let third = tag_of(swap("333", &second).await.unwrap());
    assert_eq!(store.head(KEY).await.unwrap().unwrap().tag, third);
    assert_eq!(store.put(KEY, body("x"), Condition::Absent).await.unwrap(), Put::Refused);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("333"));
}

pub async fn a_missing_object_is_not_replaced(store: Store) {
    let tag = create(&store, "a/other", "x").await;
    let put = store.put(KEY, body("y"), Condition::Matches(tag)).await.unwrap();
    assert_eq!(put, Put::Refused);
    assert_eq!(text(&store, KEY).await, None);
}

pub async fn a_weak_or_foreign_tag_never_replaces(store: Store) {
    create(&store, KEY, "x").await;
    for tag in ["W/1-2", "0123456789abcdef0123456789abcdef"] {
        let put = store.put(KEY, body("y"), Condition::Matches(ETag::new(tag))).await;
        assert!(!matches!(put, Ok(Put::Stored { .. })), "{tag}: {put:?}");
    }
    assert_eq!(text(&store, KEY).await.as_deref(), Some("x"));
}

/// Runs `work` for 0..8 at once.
async fn race<T, F>(work: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..8).map(|racer| tokio::spawn(work(racer))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// One conditional write, again while its outcome is unknown without having taken effect (409).
async fn settled(store: &Store, key: &str, text: &str, condition: Condition) -> Put {
    for _ in 0..20 {
        match store.put(key, body(text), condition.clone()).await {
            Ok(put) => return put,
            Err(error) if error.kind() == ErrorKind::Unknown => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no answer in twenty attempts");
}

pub async fn of_racing_creators_exactly_one_wins(store: Store) {
    for round in 0..10 {
        let key = format!("race/{round}");
        let puts = race(|racer| {
            let (store, key) = (store.clone(), key.clone());
            async move { settled(&store, &key, &format!("racer {racer}"), Condition::Absent).await }
        })
        .await;
        let winners: Vec<usize> = (0..8).filter(|racer| puts[*racer] != Put::Refused).collect();
        assert_eq!(winners.len(), 1, "round {round}: {puts:?}");
        assert_eq!(text(&store, &key).await, Some(format!("racer {}", winners[0])));
    }
}

pub async fn of_racing_replacers_exactly_one_wins(store: Store) {
    let mut tag = create(&store, KEY, "start").await;
    for round in 0..10 {
        let puts = race(|racer| {
            let (store, condition) = (store.clone(), Condition::Matches(tag.clone()));
            async move { settled(&store, KEY, &format!("{round}/{racer}"), condition).await }
        })
        .await;
        let winners: Vec<usize> = (0..8).filter(|racer| puts[*racer] != Put::Refused).collect();
        assert_eq!(winners.len(), 1, "round {round}: {puts:?}");
        assert_eq!(text(&store, KEY).await, Some(format!("{round}/{}", winners[0])));
        tag = tag_of(puts[winners[0]].clone());
    }
}

pub async fn an_object_may_be_empty_or_large(store: Store) {
    create(&store, "empty", "").await;
    assert_eq!(text(&store, "empty").await.as_deref(), Some(""));
    assert_eq!(store.head("empty").await.unwrap().unwrap().size, 0);
    let large = pattern(20_000_000, 7);
    let put = store.put("large", large.clone(), Condition::Absent).await.unwrap();
    let found = store.get("large").await.unwrap().unwrap();
    assert!(found.body == large);
    assert_eq!(found.meta.tag, tag_of(put));
}

pub async fn an_absent_object_is_none_and_deleting_it_is_fine(store: Store) {
    assert_eq!(store.head("no/such").await.unwrap(), None);
    assert_eq!(store.get("no/such").await.unwrap(), None);
    store.delete("no/such").await.unwrap();
    assert_eq!(store.list("no/", None, 10).await.unwrap(), vec![]);
    assert_eq!(store.list_folders("no/").await.unwrap(), Vec::<String>::new());
    // A folder is no object, and nothing is below an object.
    create(&store, "yes/such", "x").await;
    assert_eq!(store.get("yes").await.unwrap(), None);
    assert_eq!(store.head("yes").await.unwrap(), None);
    assert_eq!(store.get("yes/such/more").await.unwrap(), None);
    store.delete("yes").await.unwrap();
    store.delete("yes/such/more").await.unwrap();
    assert_eq!(text(&store, "yes/such").await.as_deref(), Some("x"));
}

pub async fn a_deleted_key_can_be_created_again(store: Store) {
    let tag = create(&store, KEY, "old").await;
    store.delete(KEY).await.unwrap();
    store.delete(KEY).await.unwrap();
    assert_eq!(text(&store, KEY).await, None);
    assert_eq!(keys(&store, "", None, 10).await, Vec::<String>::new());
    let put = store.put(KEY, body("late"), Condition::Matches(tag)).await.unwrap();
    assert_eq!(put, Put::Refused);
    create(&store, KEY, "new").await;
    assert_eq!(text(&store, KEY).await.as_deref(), Some("new"));
}

pub async fn times_are_those_of_the_writes(store: Store) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    // Whole seconds in S3, rounded down, and a file system's clock may lag a little.
    let before = now() - 1_100;
    create(&store, KEY, "x").await;
    let got = store.get(KEY).await.unwrap().unwrap().meta.modified_ms;
    let after = now() + 100;
    for at in [
        got,
        store.head(KEY).await.unwrap().unwrap().modified_ms,
        store.list("", None, 1).await.unwrap()[0].modified_ms,
    ] {
        assert!((before..=after).contains(&at), "{at} is not in {before}..={after}");
        assert!((at - got).abs() < 1_000);
    }
}

/// Ascending; where a folder's own order differs from that of keys.
const ORDERED: [&str; 12] =
    ["9", "Z/z", "a!/1", "a-b", "a-b.c/1", "a/-", "a/b!", "a/b-/c", "a/b/c", "a0", "é/x", "日本/x"];

async fn create_ordered(store: &Store) {
    for key in ORDERED.iter().rev() {
        create(store, key, key).await;
    }
}

pub async fn a_listing_is_in_byte_order_of_whole_keys(store: Store) {
    create_ordered(&store).await;
    assert_eq!(keys(&store, "", None, 100).await, ORDERED);
    for prefix in ["a", "a/", "a/b", "a-", "a/b/", "Z/z", "é", "b", "a/b/c/"] {
        let wanted: Vec<_> = ORDERED.into_iter().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(keys(&store, prefix, None, 100).await, wanted, "{prefix}");
    }
}

pub async fn a_listing_begins_after_the_given_key(store: Store) {
    create_ordered(&store).await;
    // Each key, and names between, before and after them; with prefixes that they have or have not.
    let between = ["", "0", "a", "a/", "a/b", "a/b.", "a/b/", "a/b/zz", "a-b.c", "a-b.c/0", "b", "日", "龍"];
    for after in ORDERED.into_iter().chain(between) {
        for prefix in ["", "a", "a/b", "a/b/"] {
            let wanted: Vec<_> =
                ORDERED.into_iter().filter(|key| key.starts_with(prefix) && *key > after).collect();
            let found = keys(&store, prefix, Some(after), 100).await;
            assert_eq!(found, wanted, "prefix '{prefix}', after '{after}'");
        }
    }
}

pub async fn a_listing_ends_at_its_limit(store: Store) {
    create_ordered(&store).await;
    for limit in [0, 1, 2, 11, 12, 13] {
        assert_eq!(keys(&store, "", None, limit).await, ORDERED[..limit.min(12)]);
    }
    // Page by page, the whole.
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = keys(&store, "", all.last().map(String::as_str), 5).await;
        let more = page.len() == 5;
        all.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(all, ORDERED);
}

pub async fn a_listing_of_more_than_a_thousand_is_whole(store: Store) {
    let wanted: Vec<String> = (0..1_050).map(|number| format!("many/{number:05}")).collect();
    for chunk in wanted.chunks(50) {
        let tasks = chunk.iter().cloned().map(|key| {
            let store = store.clone();
            tokio::spawn(async move { create(&store, &key, "x").await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
    assert_eq!(keys(&store, "many/", None, 5_000).await, wanted);
    assert_eq!(keys(&store, "many/", None, 1_001).await, wanted[..1_001]);
    assert_eq!(keys(&store, "many/", Some("many/00039"), 1_005).await, wanted[40..1_045]);
}

pub async fn folders_are_the_next_components_with_objects_below(store: Store) {
    create_ordered(&store).await;
    assert_eq!(store.list_folders("").await.unwrap(), ["Z", "a", "a!", "a-b.c", "é", "日本"]);
    assert_eq!(store.list_folders("a/").await.unwrap(), ["b", "b-"]);
    assert_eq!(store.list_folders("a/b/").await.unwrap(), Vec::<String>::new());
    store.delete("a/b-/c").await.unwrap();
    assert_eq!(store.list_folders("a/").await.unwrap(), ["b"]);
    let error = store.list_folders("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

pub async fn keys_may_have_odd_characters(store: Store) {
    let mut odd = [
        "lake/type=ride/day=2024-05-01/hour=__HIVE_DEFAULT_PARTITION__/a b.parquet",
        "lane/arn:aws:kinesis:us-east-1:123456789012:stream%2Ftrips/shard-0",
        "q/100%",
        "q/%2F",
        "q/a+b",
        "q/a&b=c?d#e",
        "q/'\"<>",
        "q/~!@$^*(),;:[]{}|",
        "q/back\\slash",
        "q/.hidden",
        "q/..dots..",
        "q/é 日本 🚕",
        "q/ lead and trail ",
    ];
    odd.sort_unstable();
    for key in odd {
        let tag = create(&store, key, key).await;
        assert_eq!(text(&store, key).await.as_deref(), Some(key));
        assert_eq!(store.head(key).await.unwrap().unwrap().tag, tag);
        assert_eq!(store.put(key, body("x"), Condition::Absent).await.unwrap(), Put::Refused);
        assert_eq!(keys(&store, key, None, 10).await, [key]);
    }
    assert_eq!(keys(&store, "", None, 100).await, odd);
    let folder = "lane/arn:aws:kinesis:us-east-1:123456789012:stream%2Ftrips/";
    assert_eq!(store.list_folders("lane/").await.unwrap(), [&folder[5..folder.len() - 1]]);
    for key in odd {
        store.delete(key).await.unwrap();
    }
    assert_eq!(keys(&store, "", None, 100).await, Vec::<String>::new());
}

pub async fn bad_keys_are_refused_before_anything_is_done(store: Store) {
    let (long, longer) = ("x".repeat(256), "x/".repeat(451));
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "../a",
        "a\nb",
        "a\0b",
        &long,
        &longer,
        "_tripline/lock",
        "_tripline/tmp/a",
        "_tripline/uploads/a/key",
    ] {
        let invalid = |kind: Option<ErrorKind>| assert_eq!(kind, Some(ErrorKind::Invalid), "{key:?}");
        invalid(store.get(key).await.err().map(|error| error.kind()));
        invalid(store.head(key).await.err().map(|error| error.kind()));
        invalid(store.put(key, body("x"), Condition::Absent).await.err().map(|error| error.kind()));
        invalid(store.delete(key).await.err().map(|error| error.kind()));
        invalid(store.start_upload(key).await.err().map(|error| error.kind()));
    }
    let error = store.get("a/../b").await.unwrap_err().to_string();
    assert!(error.contains(&store.location()) && error.contains("a/../b"), "{error}");
    // A neighbour of the reserved names is like any other.
    create(&store, "_tripline/lock-2", "x").await;
}

fn pattern(bytes: usize, seed: u8) -> Bytes {
    (0..bytes).map(|at| (at / 251 + at) as u8 ^ seed).collect::<Vec<u8>>().into()
}

pub async fn an_upload_is_invisible_until_it_is_complete(store: Store) {
    let key = "lake/ride/day=2024-05-01/big.parquet";
    let pieces = [pattern(MIN_PART_BYTES, 1), pattern(MIN_PART_BYTES + 1, 2), pattern(3, 3)];
    let upload = store.start_upload(key).await.unwrap();
    let mut parts = Vec::new();
    for (number, piece) in (1..).zip(&pieces) {
        parts.push(store.upload_part(key, &upload, number, piece.clone()).await.unwrap());
        assert_eq!(store.get(key).await.unwrap(), None);
        assert_eq!(store.head(key).await.unwrap(), None);
        assert_eq!(keys(&store, "", None, 10).await, Vec::<String>::new());
        assert_eq!(store.list_folders("").await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(store.complete_upload(key, &upload, &parts).await.unwrap(), Completed::Done);
    let found = store.get(key).await.unwrap().unwrap();
    assert!(found.body == pieces.concat());
    let head = store.head(key).await.unwrap().unwrap();
    assert_eq!((head.size, &head.tag), (2 * MIN_PART_BYTES as u64 + 4, &found.meta.tag));
    assert_eq!(keys(&store, "", None, 10).await, [key]);
}

/// A started upload of one small part.
async fn upload(store: &Store, key: &str, content: &str) -> (String, Vec<String>) {
    let id = store.start_upload(key).await.unwrap();
    let part = store.upload_part(key, &id, 1, body(content)).await.unwrap();
    (id, vec![part])
}

pub async fn a_repeated_completion_changes_nothing(store: Store) {
    let (id, parts) = upload(&store, KEY, "x").await;
    assert_eq!(store.complete_upload(KEY, &id, &parts).await.unwrap(), Completed::Done);
    let tag = store.head(KEY).await.unwrap().unwrap().tag;
    // Done or gone, as the server likes.
    let _ = store.complete_upload(KEY, &id, &parts).await.unwrap();
    let found = store.get(KEY).await.unwrap().unwrap();
    assert_eq!((found.body, found.meta.tag), (body("x"), tag));
    // Nor does a late repeat bring a deleted object back.
    store.delete(KEY).await.unwrap();
    assert_eq!(store.complete_upload(KEY, &id, &parts).await.unwrap(), Completed::Gone);
    assert_eq!(text(&store, KEY).await, None);
    let error = store.upload_part(KEY, &id, 1, body("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

pub async fn an_unknown_upload_is_gone(store: Store) {
    let (id, parts) = upload(&store, KEY, "x").await;
    let unknown: String = id.chars().rev().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    assert_eq!(store.complete_upload(KEY, &unknown, &parts).await.unwrap(), Completed::Gone);
    let error = store.upload_part(KEY, &unknown, 1, body("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(text(&store, KEY).await, None);
}

pub async fn an_upload_belongs_to_its_key(store: Store) {
    let (id, parts) = upload(&store, KEY, "x").await;
    assert_eq!(store.complete_upload("other", &id, &parts).await.unwrap(), Completed::Gone);
    assert_eq!(text(&store, "other").await, None);
    assert_eq!(store.complete_upload(KEY, &id, &parts).await.unwrap(), Completed::Done);
}

pub async fn a_part_may_be_sent_again(store: Store) {
    let (id, _) = upload(&store, KEY, "first").await;
    let again = store.upload_part(KEY, &id, 1, body("second")).await.unwrap();
    assert_eq!(store.complete_upload(KEY, &id, &[again]).await.unwrap(), Completed::Done);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("second"));
}

pub async fn a_completion_with_wrong_parts_is_refused_and_can_be_repeated_rightly(store: Store) {
    let (id, parts) = upload(&store, KEY, "x").await;
    let (_, other) = upload(&store, "other", "y").await;
    let second = store.upload_part(KEY, &id, 2, body("z")).await.unwrap();
    let missing = vec![parts[0].clone(), second.clone(), other[0].clone()];
    let small = vec![parts[0].clone(), second];
    for wrong in [vec![], other, missing, small] {
        let error = store.complete_upload(KEY, &id, &wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert_eq!(text(&store, KEY).await, None);
    }
    assert_eq!(store.complete_upload(KEY, &id, &parts).await.unwrap(), Completed::Done);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("x"));
    for number in [0, 10_001] {
        let error = store.upload_part(KEY, &id, number, body("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

pub async fn an_upload_replaces_what_is_at_its_key(store: Store) {
    create(&store, KEY, "before").await;
    let (id, parts) = upload(&store, KEY, "after").await;
    assert_eq!(text(&store, KEY).await.as_deref(), Some("before"));
    assert_eq!(store.complete_upload(KEY, &id, &parts).await.unwrap(), Completed::Done);
    assert_eq!(text(&store, KEY).await.as_deref(), Some("after"));
}

pub async fn racing_completions_agree(store: Store) {
    for round in 0..5 {
        let key = format!("race/{round}");
        let (id, parts) = upload(&store, &key, "x").await;
        let answers = race(|_| {
            let (store, key, id, parts) = (store.clone(), key.clone(), id.clone(), parts.clone());
            async move {
                loop {
                    match store.complete_upload(&key, &id, &parts).await {
                        Ok(completed) => return completed,
                        Err(error) if error.kind() == ErrorKind::Unknown => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        })
        .await;
        assert!(answers.contains(&Completed::Done), "{answers:?}");
        assert_eq!(text(&store, &key).await.as_deref(), Some("x"));
    }
}

pub async fn the_probe_accepts_it(store: Store) {
    create(&store, KEY, "x").await;
    let probes = race(|_| {
        let store = store.clone();
        async move { probe(&store, &SystemEntropy).await.map_err(|error| error.to_string()) }
    })
    .await;
    assert_eq!(probes.into_iter().collect::<HashSet<_>>(), HashSet::from([Ok(())]));
    // And leaves nothing behind.
    assert_eq!(keys(&store, "", None, 100).await, [KEY]);
}

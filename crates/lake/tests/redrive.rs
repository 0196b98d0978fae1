//! Redrives: which letters they have, that none is sent in two of them, and what a given-up batch lacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use support::bench::{DAY_MS, append, append_to, bench, publish};
use support::*;
use tripline_lake::journal::MIN_RETENTION;
use tripline_lake::publish::{FileFormat, PublishOptions};
use tripline_lake::redrive::{
    Coverage, Filter, RedriveState, Selection, Sent, batch_origin, first_origin, letters_origin,
};
use tripline_lake::store::{Condition, MemoryStore, ObjectStore, Put};
use tripline_lake::{Lake, Role};
use tripline_model::decode::Stage;
use tripline_model::source::Position;

async fn positions(store: &MemoryStore, selection: &Selection) -> Vec<u64> {
    let mut found = Vec::new();
    for round in selection.rounds() {
        for group in selection.letters(store, &round).await.unwrap() {
            assert_eq!((group.stage, &group.origin), (Stage::Decode, &shard("shard-0")));
            found.extend(
                group.letters.iter().map(|letter| letter.position.to_string().parse::<u64>().unwrap()),
            );
        }
    }
    found
}

async fn begun(store: &MemoryStore, filter: Filter) -> Selection {
    let mut selection = Selection::preview(store, filter, BTreeSet::new(), START_MS).await.unwrap();
    assert!(selection.begin(store).await.unwrap());
    selection
}

async fn finished(store: &MemoryStore, filter: Filter) -> Vec<u64> {
    let selection = begun(store, filter).await;
    let found = positions(store, &selection).await;
    selection.finish(store, START_MS, Sent::default()).await.unwrap();
    found
}

fn reason(code: &str) -> Filter {
    Filter { reasons: BTreeSet::from([code.to_owned()]), ..Filter::default() }
}

#[tokio::test]
async fn a_letter_is_in_one_redrive_only_and_new_ones_are_in_the_next() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=30).await;
    publish(&lake).await;
    assert_eq!(finished(&store, reason("wrong-type")).await, [0_u64; 0]);
    assert_eq!(finished(&store, Filter::default()).await, [7, 14, 21, 28]);
    append(&lake, 31..=50).await;
    publish(&lake).await;
    assert_eq!(finished(&store, reason("not-json")).await, [35, 42, 49]);
    assert_eq!(finished(&store, Filter::default()).await, [0_u64; 0]);
    let history = Selection::history(&store).await.unwrap();
    assert_eq!(history.iter().map(|redrive| redrive.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_redrive_that_was_interrupted_is_repeated_with_the_same_letters() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    publish(&lake).await;
    assert!(Selection::unfinished(&store).await.unwrap().is_none());
    let first = begun(&store, Filter::default()).await;
    append(&lake, 21..=40).await;
    publish(&lake).await;
    let repeated = Selection::unfinished(&store).await.unwrap().unwrap();
    assert_eq!(repeated.redrive, first.redrive);
    assert_eq!(positions(&store, &repeated).await, [7, 14]);
    let sent = Sent { letters: 2, ..Sent::default() };
    repeated.finish(&store, START_MS, sent).await.unwrap();
    // The one that woke up finishes too, and changes nothing.
    first.finish(&store, START_MS + 1, Sent::default()).await.unwrap();
    let history = Selection::history(&store).await.unwrap();
    assert_eq!(history[0].state, RedriveState::Done { at_ms: START_MS, sent });
    assert!(Selection::unfinished(&store).await.unwrap().is_none());
}

#[tokio::test]
async fn of_two_redrives_that_begin_together_one_looks_again() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=20).await;
    publish(&lake).await;
    let mut one = Selection::preview(&store, Filter::default(), BTreeSet::new(), START_MS).await.unwrap();
    let mut other =
        Selection::preview(&store, Filter::default(), BTreeSet::new(), START_MS + 1).await.unwrap();
    assert!(one.begin(&store).await.unwrap());
    assert!(!other.begin(&store).await.unwrap());
    // A first try whose answer was lost had begun all the same.
    assert!(one.begin(&store).await.unwrap());
    let now = Selection::preview(&store, Filter::default(), BTreeSet::new(), START_MS).await.unwrap();
    assert_eq!(positions(&store, &now).await, [0_u64; 0]);
}

#[tokio::test]
async fn letters_keep_what_they_came_with_in_both_formats() {
    for format in [FileFormat::Parquet, FileFormat::JsonLines] {
        let (_, store, lake) = bench().await;
        append(&lake, 1..=8).await;
        lake.publisher(PublishOptions { format, ..PublishOptions::default() }).run(FAR).await.unwrap();
        let selection =
            Selection::preview(&store, Filter::default(), BTreeSet::new(), START_MS).await.unwrap();
        let groups = selection.letters(&store, &selection.rounds()[0]).await.unwrap();
        let letter = &groups[0].letters[0];
        assert_eq!(letter.payload, b"not json", "{format:?}");
        assert_eq!(letter.position, Position::new(7));
        assert_eq!(letter.arrival_ms, Some(START_MS + 70));
        assert_eq!((letter.partition_key.as_str(), letter.reason.as_str()), ("key", "not-json"));
        assert_eq!(letter.event_type, None);
    }
}

#[tokio::test]
async fn letters_of_a_time_are_told_by_when_they_failed() {
    let (world, store, lake) = bench().await;
    append(&lake, 1..=8).await;
    let later_ms = world.clock.advance(DAY_MS);
    append(&lake, 9..=14).await;
    publish(&lake).await;
    let since = Filter { since_ms: Some(later_ms), ..Filter::default() };
    let until = Filter { until_ms: Some(later_ms), ..Filter::default() };
    for (filter, expected) in [(since, [14]), (until, [7])] {
        let selection = Selection::preview(&store, filter, BTreeSet::new(), START_MS).await.unwrap();
        assert_eq!(positions(&store, &selection).await, expected);
    }
}

#[test]
fn what_is_sent_again_has_a_lane_of_its_own_and_tells_where_it_first_came_from() {
    let origin = shard("shard-0");
    let first = letters_origin(&origin, 1, Stage::Decode);
    let origins = [
        origin.clone(),
        first.clone(),
        letters_origin(&origin, 2, Stage::Decode),
        letters_origin(&first, 2, Stage::Decode),
        letters_origin(&origin, 1, Stage::Search),
        batch_origin(&origin, "1", "20"),
        batch_origin(&origin, "1", "2"),
    ];
    let unique: BTreeSet<_> = origins.iter().collect();
    assert_eq!(unique.len(), origins.len());
    assert!(origins.iter().all(|one| first_origin(one) == origin));
}

#[tokio::test]
async fn letters_that_failed_again_and_new_ones_before_and_behind_them_are_all_sent() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=14).await;
    publish(&lake).await;
    // Redrive after redrive, in which all fail again, with new letters of the first lane in between.
    for (number, expected, new) in [(1, 2, 15..=21), (2, 3, 22..=28), (3, 4, 29..=35)] {
        let selection = begun(&store, Filter::default()).await;
        let mut sent = 0;
        for round in selection.rounds() {
            for group in selection.letters(&store, &round).await.unwrap() {
                let lane = letters_origin(&group.origin, number, group.stage);
                let records: Vec<_> = group.letters.iter().map(|letter| letter.record()).collect();
                let journal = lake.journal(Role::Lake);
                let appended = journal.append(&pipeline(), &lane, &records, FAR).await.unwrap();
                assert_eq!(appended.duplicates, 0, "redrive {number}: {lane}");
                sent += appended.counts.dead_letters;
            }
        }
        selection.finish(&store, START_MS, Sent::default()).await.unwrap();
        assert_eq!(sent, expected, "redrive {number}");
        append(&lake, new).await;
        publish(&lake).await;
    }
}

/// Which of the records a lane is known to have, and which not; what is not known is in neither.
async fn covered(lake: &Lake, numbers: RangeInclusive<u64>) -> (Vec<u64>, Vec<u64>) {
    let range = (Position::new(*numbers.start()), Position::new(*numbers.end()));
    let coverage = Coverage::of(lake, Role::Lake, &shard("shard-0"), range).await.unwrap();
    let records = Records::range(numbers.clone());
    let (mut is_in, mut is_out) = (Vec::new(), Vec::new());
    for (number, record) in numbers.zip(records.borrow()) {
        match coverage.covers(&record) {
            Some(true) => is_in.push(number),
            Some(false) => is_out.push(number),
            None => {}
        }
    }
    (is_in, is_out)
}

#[tokio::test]
async fn what_a_lane_lacks_is_told_from_its_entries() {
    let (_, _, lake) = bench().await;
    assert_eq!(covered(&lake, 1..=3).await, (vec![], vec![1, 2, 3]), "a lane without entries has none");
    let journal = lake.journal(Role::Lake);
    // The mapping gave 6 to 9 up after the function had taken 6, and 13 to 15 whole.
    for numbers in [1..=3, 4..=5, 6..=6, 10..=12, 16..=20, 21..=22] {
        append_to(&journal, "shard-0", numbers).await.unwrap();
    }
    assert_eq!(covered(&lake, 6..=9).await, (vec![6], vec![7, 8, 9]));
    assert_eq!(covered(&lake, 13..=15).await, (vec![], vec![13, 14, 15]));
    assert_eq!(covered(&lake, 2..=11).await, (vec![2, 3, 4, 5, 6, 10, 11], vec![7, 8, 9]));
    assert_eq!(covered(&lake, 22..=24).await, (vec![22], vec![23, 24]));
    for last in 1..=25 {
        let (is_in, is_out) = covered(&lake, 1..=last).await;
        assert_eq!(is_in.len() + is_out.len(), last as usize);
        assert!(is_out.iter().all(|number| matches!(number, 7..=9 | 13..=15 | 23..)), "{is_out:?}");
    }
}

#[tokio::test]
async fn what_another_given_up_batch_has_brought_in_is_covered_published_or_not() {
    let (_, _, lake) = bench().await;
    let journal = lake.journal(Role::Lake);
    for numbers in [1..=4, 21..=24] {
        append_to(&journal, "shard-0", numbers).await.unwrap();
    }
    for (numbers, published) in [(5..=10, false), (11..=12, true)] {
        let (first, last) = (numbers.start().to_string(), numbers.end().to_string());
        let lane = batch_origin(&shard("shard-0"), &first, &last);
        let records = Records::range(numbers);
        journal.append(&pipeline(), &lane, &records.borrow(), FAR).await.unwrap();
        if published {
            publish(&lake).await;
        }
    }
    assert_eq!(covered(&lake, 5..=14).await, ((5..=12).collect(), vec![13, 14]));
}

#[tokio::test]
async fn a_given_up_batch_is_known_to_be_in_when_its_entries_are_long_deleted() {
    let (world, _, lake) = bench().await;
    let journal = lake.journal(Role::Lake);
    append_to(&journal, "shard-0", 21..=24).await.unwrap();
    let lane = batch_origin(&shard("shard-0"), "5", "10");
    journal.append(&pipeline(), &lane, &Records::range(5..=10).borrow(), FAR).await.unwrap();
    world.clock.advance(DAY_MS);
    append_to(&lake.journal(Role::Lake), "shard-0", 25..=26).await.unwrap();
    let options = PublishOptions { retention: MIN_RETENTION, ..PublishOptions::default() };
    assert_eq!(lake.publisher(options).run(FAR).await.unwrap().deleted, 2);
    assert_eq!(covered(&lake, 5..=10).await, ((5..=10).collect(), vec![]));
}

#[tokio::test]
async fn what_deleted_entries_may_have_covered_is_not_guessed() {
    let (world, _, lake) = bench().await;
    let journal = lake.journal(Role::Lake);
    for numbers in [1..=3, 5..=6] {
        append_to(&journal, "shard-0", numbers).await.unwrap();
    }
    world.clock.advance(DAY_MS);
    let options = PublishOptions { retention: MIN_RETENTION, ..PublishOptions::default() };
    assert_eq!(lake.publisher(options.clone()).run(FAR).await.unwrap().deleted, 2);
    assert_eq!(covered(&lake, 2..=8).await, (vec![], vec![7, 8]), "all that was there is deleted");
    append_to(&lake.journal(Role::Lake), "shard-0", 8..=9).await.unwrap();
    assert_eq!(covered(&lake, 4..=10).await, (vec![8, 9], vec![7, 10]));
    lake.publisher(options).run(FAR).await.unwrap();
    assert_eq!(covered(&lake, 4..=10).await, (vec![8, 9], vec![10]), "published up to 9 now");
}

#[tokio::test]
async fn letters_of_files_from_before_there_were_headers_are_sent_too() {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=8).await;
    publish(&lake).await;
    let files = store.list("dead_letter/", None, 10).await.unwrap();
    let file = store.get(&files[0].key).await.unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.body).unwrap().build().unwrap();
    let batch = reader.collect::<Result<Vec<_>, _>>().unwrap().remove(0);
    let kept: Vec<usize> =
        (0..batch.num_columns()).filter(|&column| batch.schema().field(column).name() != "headers").collect();
    assert_eq!(kept.len() + 1, batch.num_columns());
    let old = batch.project(&kept).unwrap();
    let mut body = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut body, old.schema(), None).unwrap();
    writer.write(&old).unwrap();
    writer.close().unwrap();
    let put = store.put(&files[0].key, body.into(), Condition::Matches(file.meta.tag)).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }));
    let selection = Selection::preview(&store, Filter::default(), BTreeSet::new(), START_MS).await.unwrap();
    assert_eq!(positions(&store, &selection).await, [7]);
}

//! What delivery makes of a cluster's answers, played by a double.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::double::{Answer, Double};
use support::{deliver, now_ms, options, origin, records, refused, sink, undelivered, visit, visits};
use tripline_search::{Auth, SearchOptions};

fn ok(bulk: &support::double::Bulk) -> Answer {
    bulk.answer(|_| 201)
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| visit(number, "")).collect()
}

#[tokio::test]
async fn only_what_was_refused_for_now_is_sent_again() {
    // Items that failed may come together or apart, as their pauses have it: what an item is told depends on
    // how often it came.
    let seen = Mutex::new(Vec::new());
    let double = Double::start(move |_, bulk| {
        let mut seen = seen.lock().unwrap();
        let answer = bulk.answer(|id| match (id, seen.iter().filter(|earlier| *earlier == id).count()) {
            ("1", 0) => 429,
            ("3", 0) => 503,
            ("4", 0) => 500,
            ("3", 1) => 502,
            (_, 0) => 201,
            _ => 200,
        });
        seen.extend(bulk.ids());
        answer
    });
    let sink = sink(&visits("a", ""), options(&double.url)).await;
    let delivered = deliver(&sink, &many(6), 10).await;
    assert!(delivered.undelivered.is_none() && delivered.refused.is_empty());
    let ids: Vec<Vec<String>> = double.requests().iter().map(|bulk| bulk.ids()).collect();
    let mut again = ids[1..].concat();
    again.sort();
    assert_eq!((ids[0].len(), again), (6, ["1", "3", "3", "4"].map(str::to_owned).to_vec()));
    let counts = delivered.counts;
    assert_eq!((counts.records, counts.created + counts.updated), (6, 6));
    assert_eq!((counts.retried, counts.throttled, counts.possible_duplicates), (4, 1, 0));
    assert_eq!(counts.requests, ids.len() as u64);
}

#[tokio::test]
async fn refused_documents_are_told_with_the_cluster_s_reason_by_policy() {
    let answer = |_, bulk: &support::double::Bulk| {
        bulk.answer(|id| match id {
            "1" => 400,
            "2" => 404,
            "3" => 409,
            _ => 201,
        })
    };
    let payloads = [many(5), vec!["nonsense".to_owned()]].concat();
    let double = Double::start(answer);
    let policies = "on_version_conflict = \"dead-letter\"";
    let delivered = deliver(&sink(&visits("a", policies), options(&double.url)).await, &payloads, 10).await;
    let expected = [(1, "rejected"), (2, "rejected"), (3, "version-conflict"), (5, "not-json")];
    assert_eq!(refused(&delivered), expected);
    assert_eq!(delivered.refused[0].error, "400 some_exception: status 400");
    assert_eq!(
        delivered.refused.iter().map(|refused| refused.malformed).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    let counts = delivered.counts;
    assert_eq!((counts.refused, counts.malformed, counts.conflicts), (4, 1, 1));

    let delivered =
        deliver(&sink(&visits("a", "on_rejected = \"ignore\""), options(&double.url)).await, &payloads, 10)
            .await;
    assert_eq!((refused(&delivered), delivered.counts.ignored), (vec![(5, "not-json")], 2));

    let delivered =
        deliver(&sink(&visits("a", "on_rejected = \"fail\""), options(&double.url)).await, &payloads, 10)
            .await;
    assert_eq!(refused(&delivered), []);
    let (record, why) = undelivered(&delivered).unwrap();
    assert_eq!(record, 1);
    assert!(why.contains("the pipeline's policy is `fail`: rejected: 400 some_exception"), "{why}");
}

#[tokio::test]
async fn a_request_too_large_is_halved_and_smaller_ones_are_sent_from_then_on() {
    let double = Double::start(|_, bulk| {
        if bulk.body.len() > 100_000 { Answer::Say(413, "too large".to_owned()) } else { ok(bulk) }
    });
    let payloads: Vec<String> = (0..100)
        .map(|number| {
            visit(
                number,
                &format!(", \"who\": \"{}\"", "x".repeat(if number == 50 { 120_000 } else { 4_000 })),
            )
        })
        .collect();
    let pipeline = support::pipeline(
        r#"id = "visits"
        schema_version = 1
        default_type = "visit"
        limits.text_bytes = 1000000
        [events.visit]
        id = ["id"]
        event_time = "at"
        fields = [{ name = "id", type = "string" }, { name = "at", type = "timestamp", required = true }]
        partition = [{ name = "day", time = "day" }]
        "#,
    );
    let sink = sink(&pipeline, options(&double.url)).await;
    let delivered = deliver(&sink, &payloads, 20).await;
    assert!(delivered.undelivered.is_none());
    assert_eq!(refused(&delivered), [(50, "document-too-large")]);
    assert_eq!(delivered.counts.created, 99);
    let before = double.requests().len();
    let delivered = deliver(&sink, &payloads[..50], 20).await;
    assert_eq!((delivered.counts.created, delivered.counts.retried), (50, 0));
    assert!(double.requests()[before..].iter().all(|bulk| bulk.body.len() <= 100_000));
}

#[tokio::test]
async fn what_is_not_understood_is_found_by_halving_and_only_where_other_requests_are() {
    let double = Double::start(|_, bulk| {
        if bulk.ids().contains(&"37".to_owned()) {
            Answer::Say(400, "{\"error\":\"what?\"}".to_owned())
        } else {
            ok(bulk)
        }
    });
    let sink_of = async || sink(&visits("a", ""), options(&double.url)).await;
    let delivered = deliver(&sink_of().await, &many(100), 20).await;
    assert_eq!((refused(&delivered), delivered.counts.created), (vec![(37, "rejected")], 99));
    assert_eq!(delivered.refused[0].error, "400 what?");
    assert!(delivered.undelivered.is_none() && double.requests().len() < 20);

    let delivered = deliver(&sink_of().await, &many(38)[37..], 20).await;
    let (record, why) = undelivered(&delivered).unwrap();
    assert!(record == 0 && why.contains("check that the URL is that of an OpenSearch cluster"), "{why}");
    assert!(delivered.refused.is_empty());
}

#[tokio::test]
async fn what_understands_no_request_is_not_sent_each_document() {
    for max_in_flight in [1, 4] {
        let double = Double::start(|_, _| Answer::Say(400, "{\"error\":\"what?\"}".to_owned()));
        let options = SearchOptions { max_in_flight, ..options(&double.url) };
        let delivered = deliver(&sink(&visits("a", ""), options).await, &many(1_000), 20).await;
        let (record, why) = undelivered(&delivered).unwrap();
        assert!(record == 0 && delivered.refused.is_empty());
        assert!(why.contains("400 what?; ") && why.contains("TRIPLINE_OPENSEARCH_GZIP=false"), "{why}");
        assert!(double.requests().len() < 50, "{} requests", double.requests().len());
    }
    // One document that is not understood keeps none of those after it, though it comes first.
    let double = Double::start(|_, bulk| {
        if bulk.ids().contains(&"0".to_owned()) { Answer::Say(400, String::new()) } else { ok(bulk) }
    });
    let options = SearchOptions { max_in_flight: 1, ..options(&double.url) };
    let delivered = deliver(&sink(&visits("a", ""), options).await, &many(100), 20).await;
    assert_eq!((refused(&delivered), delivered.counts.created), (vec![(0, "rejected")], 99));
}

#[tokio::test]
async fn an_answer_that_is_not_about_what_was_sent_is_not_believed() {
    for wrong in [
        "{\"items\": []}".to_owned(),
        "{\"took\": 1}".to_owned(),
        "<html>".to_owned(),
        String::new(),
        "{\"items\": [{\"index\": {\"_id\": \"1\", \"status\": 201}}, {\"index\": {\"_id\": \"0\", \"status\": 201}}]}".to_owned(),
        "{\"items\": [{\"create\": {\"_id\": \"0\", \"status\": 201}}, {\"index\": {\"_id\": \"1\", \"status\": 201}}]}".to_owned(),
        "{\"items\": [{\"index\": {\"_id\": \"0\", \"status\": 201}}, {\"index\": {\"_id\": \"1\", \"status\": 201}}, {\"index\": {\"_id\": \"2\", \"status\": 201}}]}".to_owned(),
    ] {
        let said = wrong.clone();
        let double = Double::start(move |number, bulk| if number == 0 { Answer::Say(200, said.clone()) } else { ok(bulk) });
        let delivered = deliver(&sink(&visits("a", ""), options(&double.url)).await, &many(2), 10).await;
        assert!(delivered.undelivered.is_none(), "{wrong}: {:?}", delivered.undelivered);
        assert_eq!((delivered.counts.created, delivered.counts.retried), (2, 2), "{wrong}");
    }
}

#[tokio::test]
async fn an_ingest_pipeline_may_change_ids() {
    let double = Double::start(|_, _| {
        let item = |id: &str| format!("{{\"index\": {{\"_id\": \"of-pipeline-{id}\", \"status\": 201}}}}");
        Answer::Say(200, format!("{{\"items\": [{}, {}]}}", item("0"), item("1")))
    });
    let piped = sink(&visits("a", "ingest_pipeline = \"p\""), options(&double.url)).await;
    let delivered = deliver(&piped, &many(2), 10).await;
    assert!(delivered.undelivered.is_none(), "{:?}", delivered.undelivered);
    assert_eq!((delivered.counts.created, delivered.counts.requests), (2, 1));
}

#[tokio::test]
async fn lost_answers_are_made_up_for_and_without_ids_counted_as_possible_duplicates() {
    for (search, possible) in [("", 0), ("id = false", 3)] {
        let double = Double::start(|number, bulk| if number == 0 { Answer::BreakOff } else { ok(bulk) });
        let delivered = deliver(&sink(&visits("a", search), options(&double.url)).await, &many(3), 10).await;
        assert!(delivered.undelivered.is_none());
        let counts = delivered.counts;
        assert_eq!((counts.created, counts.retried, counts.possible_duplicates), (3, 3, possible));
    }
}

#[tokio::test]
async fn a_cluster_that_refuses_every_request_stops_delivery_and_says_what_to_do() {
    for (status, advice) in [
        (403, "check region and service of the signature"),
        (401, "check user and password"),
        (404, "check the URL, its path included"),
        (302, "check the URL and what stands before the cluster"),
    ] {
        let double = Double::start(move |_, _| Answer::Say(status, "{\"message\": \"go away\"}".to_owned()));
        let delivered = deliver(&sink(&visits("a", ""), options(&double.url)).await, &many(3), 10).await;
        let (record, why) = undelivered(&delivered).unwrap();
        assert_eq!(record, 0);
        assert!(why.contains(&format!("{status} go away; {advice}")), "{why}");
        assert_eq!(
            (double.requests().len(), delivered.refused.len()),
            (1, 0),
            "no dead letters, no second try"
        );
    }
    // Every document forbidden is the role's fault; one among others is that document's.
    let double = Double::start(|_, bulk| bulk.answer(|_| 403));
    let delivered = deliver(&sink(&visits("a", ""), options(&double.url)).await, &many(3), 10).await;
    assert!(undelivered(&delivered).unwrap().1.contains("refuses every request: 403 some_exception"));
    let double = Double::start(|_, bulk| bulk.answer(|id| if id == "1" { 403 } else { 201 }));
    let delivered = deliver(&sink(&visits("a", ""), options(&double.url)).await, &many(3), 10).await;
    assert_eq!((refused(&delivered), delivered.undelivered.is_none()), (vec![(1, "rejected")], true));
}

#[tokio::test]
async fn documents_of_one_id_are_written_in_order_whatever_fails() {
    // The first of three writes of "x" is refused for now although those after it were taken.
    let double = Double::start(|number, bulk| {
        let count = Mutex::new(0);
        bulk.answer(|id| {
            let mut count = count.lock().unwrap();
            *count += u32::from(id == "x");
            if number == 0 && id == "x" && *count == 1 { 429 } else { 201 }
        })
    });
    let payloads: Vec<String> = ["a", "x", "b", "x", "x"]
        .iter()
        .enumerate()
        .map(|(count, id)| visit(id, &format!(", \"count\": {count}")))
        .collect();
    let sink = sink(&visits("a", ""), options(&double.url)).await;
    let delivered = deliver(&sink, &payloads, 10).await;
    assert!(delivered.undelivered.is_none());
    let requests = double.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].ids(), ["x", "x", "x"], "those that came after go after it once more");
    assert!(requests[1].body.lines().last().unwrap().contains("\"count\": 4"));
    assert_eq!(delivered.counts.created, 5);
}

#[tokio::test]
async fn one_document_is_never_in_two_requests_at_once() {
    let double = Double::start(|_, bulk| {
        std::thread::sleep(Duration::from_millis(20));
        ok(bulk)
    });
    let options = SearchOptions { max_actions: 3, max_in_flight: 8, ..options(&double.url) };
    let payloads: Vec<String> =
        (0..60).map(|number| visit(number % 4, &format!(", \"count\": {number}"))).collect();
    let delivered = deliver(&sink(&visits("a", ""), options).await, &payloads, 20).await;
    assert!(delivered.undelivered.is_none());
    for id in 0..4 {
        let of_id = |body: &str| -> Vec<u32> {
            let lines = body.lines().filter(|line| line.contains(&format!("\"id\": \"{id}\"")));
            lines
                .map(|line| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["count"].as_u64().unwrap() as u32
                })
                .collect()
        };
        let counts: Vec<u32> = double.requests().iter().flat_map(|bulk| of_id(&bulk.body)).collect();
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.len(), 15);
    }
}

#[tokio::test]
async fn no_request_is_larger_than_the_limits_and_connections_are_used_again() {
    let double = Double::start(|_, bulk| ok(bulk));
    let payloads: Vec<String> =
        (0..3_000).map(|number| visit(number, &format!(", \"who\": \"{}\"", "y".repeat(4_000)))).collect();
    assert!(payloads.iter().map(String::len).sum::<usize>() > 12_000_000);
    for (gzip, max_bytes, max_actions) in
        [(true, 5 << 20, 5_000), (false, 1 << 20, 5_000), (true, 5 << 20, 100)]
    {
        let before = double.requests().len();
        let options = SearchOptions { gzip, max_bytes, max_actions, ..options(&double.url) };
        let delivered = deliver(&sink(&visits("a", ""), options).await, &payloads, 60).await;
        assert!(delivered.undelivered.is_none());
        let requests = &double.requests()[before..];
        assert!(requests.iter().all(|bulk| bulk.body.len() <= max_bytes && bulk.ids().len() <= max_actions));
        assert_eq!(requests.iter().map(|bulk| bulk.ids().len()).sum::<usize>(), 3_000);
        let sent: usize = requests.iter().map(|bulk| bulk.sent_bytes).sum();
        let raw: usize = requests.iter().map(|bulk| bulk.body.len()).sum();
        assert_eq!((delivered.counts.bytes_sent, delivered.counts.bytes_raw), (sent as u64, raw as u64));
        assert_eq!(gzip, sent * 10 < raw, "{sent} of {raw}");
        assert!(requests.iter().all(|bulk| bulk.header("content-encoding").is_some() == gzip));
    }
    assert!(double.connections() <= 12, "{} connections", double.connections());
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed_and_fewer_once_it_is_busy() {
    let double = Double::start(|_, bulk| {
        std::thread::sleep(Duration::from_millis(30));
        ok(bulk)
    });
    let options_of = |url: &str| SearchOptions { max_actions: 1, max_in_flight: 3, ..options(url) };
    let sink_of = sink(&visits("a", ""), options_of(&double.url)).await;
    let [first, second] = [many(12), many(24)[12..].to_vec()];
    let (first, second) = tokio::join!(deliver(&sink_of, &first, 20), deliver(&sink_of, &second, 20));
    assert_eq!((first.counts.created, second.counts.created), (12, 12));
    assert_eq!(double.most_under_way(), 3, "deliveries share the limit");

    // How many are under way while each request is.
    let (under_way, at_once) = (AtomicUsize::new(0), Arc::new(Mutex::new(vec![0; 18])));
    let seen = Arc::clone(&at_once);
    let busy = Double::start(move |number, bulk| {
        let now = under_way.fetch_add(1, Ordering::SeqCst) + 1;
        std::thread::sleep(Duration::from_millis(30));
        seen.lock().unwrap()[number] = now.max(under_way.fetch_sub(1, Ordering::SeqCst));
        if number < 6 {
            Answer::Say(429, "{\"error\":{\"type\":\"rejected_execution_exception\"}}".to_owned())
        } else {
            ok(bulk)
        }
    });
    let delivered = deliver(&sink(&visits("a", ""), options_of(&busy.url)).await, &many(12), 20).await;
    assert_eq!((delivered.counts.created, delivered.counts.throttled), (12, 6));
    let at_once = at_once.lock().unwrap().clone();
    assert_eq!(at_once[3..7], [1; 4], "one after three were refused, until one is taken: {at_once:?}");
    assert!(at_once[7..].iter().any(|&many| many > 1), "more again as they are taken: {at_once:?}");
}

#[tokio::test]
async fn delivery_ends_by_the_deadline_and_says_what_the_cluster_said_last() {
    let double = Double::start(|number, bulk| {
        if bulk.ids().contains(&"2".to_owned()) {
            return Answer::Say(503, "{\"message\":\"no nodes\"}".to_owned());
        }
        if number > 100 { Answer::BreakOff } else { ok(bulk) }
    });
    let options = SearchOptions { max_actions: 2, ..options(&double.url) };
    let began = Instant::now();
    let payloads = [many(6), vec!["[]".to_owned()]].concat();
    let delivered = deliver(&sink(&visits("a", ""), options).await, &payloads, 1).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (record, why) = undelivered(&delivered).unwrap();
    assert_eq!(record, 2);
    assert!(why.contains("the time was up") && why.contains("503 no nodes"), "{why}");
    assert!(delivered.refused.is_empty(), "the dead letter behind the undelivered record comes again");

    let slow = Double::start(|_, _| Answer::Late(Duration::from_secs(30), 200, String::new()));
    let began = Instant::now();
    let delivered =
        deliver(&sink(&visits("a", "id = false"), support::options(&slow.url)).await, &many(2), 1).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((undelivered(&delivered).unwrap().0, delivered.counts.possible_duplicates), (0, 2));
}

#[tokio::test]
async fn what_was_to_be_sent_by_now_is_not_sent_at_all() {
    let double = Double::start(|_, bulk| ok(bulk));
    let sink = sink(&visits("a", ""), options(&double.url)).await;
    let payloads = many(2);
    let delivered = sink.deliver(&origin(), &records(1, &payloads), now_ms() - 1).await;
    assert_eq!((undelivered(&delivered).unwrap().0, double.requests().len()), (0, 0));
}

#[tokio::test]
async fn another_host_is_asked_where_one_does_not_answer() {
    let double = Double::start(|_, bulk| ok(bulk));
    let dead = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let options = SearchOptions {
        hosts: vec![format!("http://{dead}"), format!("{}/", double.url), format!("http://{dead}/x")],
        max_actions: 1,
        ..options("")
    };
    let sink = sink(&visits("a", ""), options).await;
    let delivered = deliver(&sink, &many(10), 10).await;
    assert!(delivered.undelivered.is_none());
    assert_eq!((delivered.counts.created, double.requests().len()), (10, 10));
    let delivered = deliver(&sink, &many(10), 10).await;
    assert_eq!(delivered.counts.retried, 0, "hosts that did not answer are left out");
}

#[tokio::test]
async fn basic_authentication_and_all_a_line_may_say_are_as_the_cluster_wants_them() {
    let double = Double::start(|_, bulk| ok(bulk));
    let auth = Auth::Basic { user: "admin".to_owned(), password: "s€cret".to_owned() };
    assert!(!format!("{auth:?}").contains("s€cret"));
    let of = async |search: &str| {
        let options = SearchOptions { auth: auth.clone(), gzip: false, ..options(&double.url) };
        let payloads = [
            visit("ü\\\"\\n", ", \"who\": \"Ann\"").as_str(),
            "{\"type\": \"Page View\", \"at\": 0}",
            "null",
        ]
        .map(str::to_owned);
        let delivered = deliver(&sink(&visits("a", search), options).await, &payloads, 10).await;
        assert!(delivered.undelivered.is_none() && delivered.refused.is_empty());
        double.requests().last().unwrap().clone()
    };
    let bulk = of("version = \"position\"\ningest_pipeline = \"p\"").await;
    assert_eq!(bulk.header("authorization"), Some("Basic YWRtaW46c+KCrGNyZXQ="));
    assert_eq!(bulk.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<&str> = bulk.body.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"index":{"_index":"a-visit","_id":"ü\"\u000a","pipeline":"p","version":1,"version_type":"external_gte"}}"#,
            r#"{"id": "ü\"\n", "at": "2019-03-01T00:00:00Z", "who": "Ann"}"#,
            &format!(
                r#"{{"index":{{"_index":"a-page-view","_id":"{}"}}}}"#,
                bulk.actions()[1].1["_id"].as_str().unwrap()
            ),
            r#"{"type": "Page View", "at": 0}"#,
            r#"{"delete":{"_index":"a-visit","_id":"key","version":3,"version_type":"external_gte"}}"#,
        ]
    );
    assert!(bulk.body.ends_with('\n'));
    let bulk = of("action = \"update\"\nrouting = \"who\"").await;
    let lines: Vec<&str> = bulk.body.lines().take(2).collect();
    assert_eq!(
        lines[0],
        r#"{"update":{"_index":"a-visit","_id":"ü\"\u000a","routing":"Ann","retry_on_conflict":3}}"#
    );
    assert!(lines[1].starts_with("{\"doc\":{\"id\": ") && lines[1].ends_with("},\"doc_as_upsert\":true}"));
}

#[tokio::test]
async fn records_from_one_that_fails_the_batch_on_are_not_sent() {
    let double = Double::start(|_, bulk| ok(bulk));
    let pipeline = support::pipeline(
        r#"id = "visits"
        schema_version = 1
        default_type = "visit"
        on_malformed = "fail"
        [events.visit]
        event_time = "at"
        fields = [{ name = "at", type = "timestamp", required = true }]
        partition = [{ name = "day", time = "day" }]
        "#,
    );
    let delivered =
        deliver(&sink(&pipeline, options(&double.url)).await, &["{\"at\":1}", "{}", "{\"at\":2}"], 10).await;
    let (record, why) = undelivered(&delivered).unwrap();
    assert!(record == 1 && why.contains("missing-field"), "{why}");
    assert_eq!((double.requests().len(), double.requests()[0].ids().len()), (1, 1));
    assert_eq!(delivered.counts.created, 1);
}

#[tokio::test]
async fn wrong_options_are_told_all_at_once() {
    let options = SearchOptions {
        hosts: vec!["search.example.com".to_owned()],
        ca_bundle: Some("/no/such/file.pem".into()),
        max_bytes: 10 << 20,
        max_actions: 0,
        max_in_flight: 0,
        retry_for: Duration::ZERO,
        auth: Auth::Basic { user: "a:b".to_owned(), password: String::new() },
        ..SearchOptions::default()
    };
    let error = tripline_search::SearchSink::connect(visits("a", ""), options, support::environment())
        .await
        .unwrap_err();
    let told = error.to_string();
    for part in [
        "the search cluster cannot be used: ",
        "`search.example.com` is neither https nor http",
        "cannot read certificates from /no/such/file.pem",
        "a request's body may have 1 to 10485759 bytes, not 10485760",
        "a request must take at least one document",
        "1 to 64 requests may be under way at once, not 0",
        "a batch needs time to be delivered",
        "the user of basic authentication is empty or has a colon in it",
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
}

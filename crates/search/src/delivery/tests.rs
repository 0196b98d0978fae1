#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashMap;

use proptest::prelude::*;
use tripline_model::source::{Payload, Position, SourcePartition, SourceRecord};

use super::*;
use crate::reply::Result as Done;
use crate::verdict::Act;

/// A pipeline of one event type whose documents have ids of the member `id`.
fn pipeline() -> Pipeline {
    let dir = tempfile::TempDir::new().unwrap();
    let text = r#"id = "a"
        schema_version = 1
        default_type = "a"
        [events.a]
        id = ["id"]
        event_time = "at"
        fields = [{ name = "id", type = "int64" }, { name = "at", type = "timestamp", required = true }]
        partition = [{ name = "day", time = "day" }]"#;
    std::fs::write(dir.path().join("pipeline.toml"), text).unwrap();
    Pipeline::load(dir.path()).unwrap()
}

/// A batch of documents with these ids, padded to be of different lengths.
fn batch(pipeline: &Pipeline, documents: &[(u8, usize)]) -> Batch {
    let payload =
        |&(id, padding): &(u8, usize)| format!("{{\"at\":0,\"id\":{id},\"x\":\"{}\"}}", "x".repeat(padding));
    let payloads: Vec<String> = documents.iter().map(payload).collect();
    let record = |payload| SourceRecord {
        position: Position::new(0),
        sub_position: 0,
        arrival_ms: None,
        partition_key: "",
        headers: "",
        payload: Payload::Bytes(payload),
    };
    let records: Vec<_> = payloads.iter().map(|payload| record(payload.as_bytes())).collect();
    let origin = SourcePartition { source: String::new(), epoch: String::new(), partition: String::new() };
    Batch::new(pipeline, &origin, &records, None, 0, 1 << 20)
}

/// What the cluster of a test does with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Busy,
    FailsBefore,
    FailsAfter,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
enum Whole {
    Answered,
    AnswerLost,
    NeverThere,
    Refused,
    TooLarge,
    AnswersNonsense,
}

fn fates() -> impl Strategy<Value = Vec<(Whole, Vec<Fate>)>> {
    let fate = prop_oneof![
        4 => Just(Fate::Taken),
        2 => Just(Fate::Busy),
        1 => Just(Fate::FailsBefore),
        1 => Just(Fate::FailsAfter)
    ];
    let whole = prop_oneof![
        6 => Just(Whole::Answered),
        1 => Just(Whole::AnswerLost),
        1 => Just(Whole::NeverThere),
        1 => Just(Whole::Refused),
        1 => Just(Whole::TooLarge),
        1 => Just(Whole::AnswersNonsense)
    ];
    prop::collection::vec((whole, prop::collection::vec(fate, 1..6)), 0..30)
}

/// The cluster takes what it takes and answers; `written` is what documents it has, by id, as the number
/// of the item that wrote it last.
fn play(
    batch: &Batch,
    request: &Request,
    whole: Whole,
    fates: &[Fate],
    bad: u8,
    written: &mut HashMap<u64, usize>,
) -> Outcome {
    let nothing = |sent| Outcome::Nothing { sent, reason: "as the test wants it".to_owned() };
    let status = |status| Outcome::Status { status, reason: String::new() };
    match whole {
        Whole::NeverThere => return nothing(false),
        Whole::Refused => return status(429),
        Whole::TooLarge if request.items.len() > 1 => return status(413),
        _ => {}
    }
    let mut replies = Vec::new();
    for (at, &index) in request.items.iter().enumerate() {
        let item = &batch.items[index];
        let is_bad = batch.text[item.lines.clone()]
            .ends_with(format!("\"{}\"}}\n", "x".repeat(bad.into())).as_bytes());
        let fate = fates[at % fates.len()];
        let status = match fate {
            _ if is_bad => 400,
            Fate::Taken => 200,
            Fate::Busy => 429,
            Fate::FailsBefore | Fate::FailsAfter => 500,
        };
        if !is_bad && matches!(fate, Fate::Taken | Fate::FailsAfter) {
            written.insert(item.id.unwrap(), index);
        }
        replies.push(ItemReply { act: Act::Index, id: item.id, status, result: Done::Untold, error: None });
    }
    match whole {
        Whole::AnswerLost => nothing(true),
        Whole::AnswersNonsense => {
            replies.pop();
            Outcome::Items(replies)
        }
        _ => Outcome::Items(replies),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_body_is_the_lines_of_its_items_wherever_they_stand(
        documents in prop::collection::vec((0_u8..6, 0_usize..40), 1..12),
        chosen in prop::collection::vec(any::<bool>(), 12),
    ) {
        let batch = batch(&pipeline(), &documents);
        let lines = |index: &usize| &batch.text[batch.items[*index].lines.clone()];
        let picked = (0..documents.len()).filter(|&index| chosen[index]).collect();
        for items in [picked, (0..documents.len()).collect::<Vec<_>>()] {
            let expected: Vec<u8> = items.iter().flat_map(lines).copied().collect();
            prop_assert_eq!(batch.body(&items, expected.len()), expected);
        }
    }

    #[test]
    fn whatever_a_cluster_does_the_last_of_each_document_is_there_in_the_end(
        documents in prop::collection::vec((0_u8..6, 0_usize..40), 1..40),
        fates in fates(),
        bad in 0_u8..40,
        max_bytes in 60_usize..2_000,
        max_actions in 1_usize..20,
        at_once in 1_usize..4,
    ) {
        let pipeline = pipeline();
        let batch = batch(&pipeline, &documents);
        prop_assert_eq!(batch.items.len(), documents.len());
        let mut delivery = Delivery::new(&pipeline, &batch);
        let mut written = HashMap::new();
        let mut fates = fates.into_iter();
        let mut under_way: Vec<Request> = Vec::new();
        let mut now_ms = 0;
        loop {
            while under_way.len() < at_once
                && let Some(request) = delivery.next(now_ms, max_bytes, max_actions, true)
            {
                prop_assert!(request.items.len() <= max_actions);
                prop_assert!(request.bytes <= max_bytes || request.items.len() == 1);
                prop_assert!(request.items.is_sorted());
                let bytes: usize = request.items.iter().map(|&index| batch.items[index].lines.len()).sum();
                prop_assert_eq!(bytes, request.bytes);
                under_way.push(request);
            }
            if under_way.is_empty() {
                let Some(ready_ms) = delivery.next_ready_ms(now_ms) else { break };
                now_ms = ready_ms;
                continue;
            }
            let (whole, of_items) = fates.next().unwrap_or((Whole::Answered, vec![Fate::Taken]));
            // Neither the first nor the last of those under way is always the first to be answered.
            let request = under_way.swap_remove((now_ms as usize) % under_way.len());
            let outcome = play(&batch, &request, whole, &of_items, bad, &mut written);
            now_ms += 1;
            delivery.settle(&request, outcome, |tries| now_ms + i64::from(tries) * 7);
        }
        prop_assert!(!delivery.has_waiting());
        let delivered = delivery.finish(true);
        prop_assert!(delivered.undelivered.is_none(), "{:?}", delivered.undelivered);

        let is_bad = |(_, padding): &(u8, usize)| *padding == usize::from(bad);
        let refused: Vec<usize> = delivered.refused.iter().map(|refused| refused.record).collect();
        let wrong: Vec<usize> = (0..documents.len()).filter(|&at| is_bad(&documents[at])).collect();
        prop_assert_eq!(refused, wrong);
        let mut expected = HashMap::new();
        for (index, item) in batch.items.iter().enumerate() {
            if !is_bad(&documents[item.record]) {
                expected.insert(item.id.unwrap(), index);
            }
        }
        prop_assert_eq!(written, expected);
        let counts = delivered.counts;
        prop_assert_eq!(counts.created + counts.updated + counts.refused, documents.len() as u64);
    }
}

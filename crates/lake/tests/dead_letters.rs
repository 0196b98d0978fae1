//! Dead letters of a sink: a lane of their own, in which each is once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use support::bench::{append as append_events, bench, publish};
use support::*;
use tripline_lake::{Lake, Role};
use tripline_model::decode::{DeadLetter, Reason, Refusal, Stage};

/// Letters of the records with these numbers.
fn letters<'a>(records: &'a Records) -> Vec<DeadLetter<'a>> {
    let letter = |record| DeadLetter {
        stage: Stage::Search,
        record,
        refusal: Refusal { reason: Reason::WrongType, message: "the cluster says no".to_owned() },
        event_type: Some("ride"),
    };
    records.borrow().into_iter().map(letter).collect()
}

async fn append(lake: &Lake, records: &Records) -> tripline_lake::journal::Appended {
    let journal = lake.journal(Role::Search);
    let letters = letters(records);
    journal.append_dead_letters(&pipeline(), &shard("shard-0"), &letters, FAR).await.unwrap()
}

#[tokio::test]
async fn dead_letters_of_a_batch_that_comes_again_are_in_once() {
    let (_, store, lake) = bench().await;
    let first = append(&lake, &Records::range(3..=5)).await;
    assert_eq!((first.counts.dead_letters, first.duplicates, first.entry), (3, 0, Some(1)));
    // The same, cut elsewhere, and by another function.
    let again = append(&lake, &Records::range(4..=7)).await;
    assert_eq!((again.counts.dead_letters, again.duplicates, again.entry), (2, 2, Some(2)));
    let last = append(&lake, &Records::range(3..=7)).await;
    assert_eq!((last.counts.records, last.duplicates, last.entry), (0, 5, None));
    publish(&lake).await;
    let audit = assert_clean(&store).await;
    assert_eq!(audit.tables["dead_letter"].found.rows, 5);
}

#[tokio::test]
async fn the_sink_s_lane_and_the_lake_s_know_nothing_of_each_other() {
    let (_, store, lake) = bench().await;
    append(&lake, &Records::range(1..=9)).await;
    let events = append_events(&lake, 1..=6).await;
    assert_eq!((events.counts.rows, events.duplicates), (6, 0));
    publish(&lake).await;
    let audit = assert_clean(&store).await;
    assert_eq!((audit.tables["ride"].found.rows, audit.tables["dead_letter"].found.rows), (6, 9));
}

#[tokio::test]
async fn a_letter_that_a_batch_has_twice_counts_once() {
    let (_, _, lake) = bench().await;
    let records = Records::range(1..=2);
    let mut twice = letters(&records);
    twice.insert(1, twice[0].clone());
    let journal = lake.journal(Role::Search);
    let appended = journal.append_dead_letters(&pipeline(), &shard("shard-0"), &twice, FAR).await.unwrap();
    assert_eq!((appended.counts.dead_letters, appended.duplicates), (2, 1));
}

//! The protocol holds in every state that can be reached within the bounds.

use protocol_model::Protocol;
use stateright::{Checker, Model};

fn exhaust(bounds: Protocol) {
    let checker = bounds.checker().threads(2).spawn_bfs().join();
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn append_holds_with_batches_cut_in_all_ways() {
    exhaust(Protocol::append());
}

#[test]
fn append_holds_with_two_ingesters_and_a_zombie() {
    exhaust(Protocol::zombie());
}

#[test]
fn append_holds_with_a_refused_record_and_a_mapping_that_skips() {
    exhaust(Protocol::refusal());
}

#[test]
fn publish_holds_with_two_publishers_and_uploads_that_expire() {
    exhaust(Protocol::publish());
}

#[test]
fn append_and_publish_hold_together() {
    exhaust(Protocol::together());
}

//! Aggregated records against a naive reading of them.

use tripline_oracle::aggregate::{read, wrap};
use tripline_stream::kpl::{Aggregator, UserRecord, user_records};

use crate::input::Plan;

/// An aggregate is taken apart as the naive reader does it, and packed again it is the same; whatever
/// is none is left alone. The input is the message within the aggregate, as no fuzzer finds its digest.
pub fn aggregate(input: &[u8]) {
    let built = Plan::of(input).map(build);
    let message = built.as_deref().unwrap_or(input);
    let whole = wrap(message);
    compare(&whole);
    // As it stands, and without its end.
    compare(message);
    assert_eq!(user_records(whole.split_last().expect("it has a digest").1), None);
}

fn compare(data: &[u8]) {
    let own = |user: &UserRecord<'_>| (user.partition_key.to_owned(), user.data.to_vec());
    let ours = user_records(data);
    let owned = ours.as_ref().map(|users| users.iter().map(own).collect::<Vec<_>>());
    assert_eq!(owned, read(data));
    let Some(users) = ours else { return };
    let mut aggregator = Aggregator::default();
    assert!(users.iter().all(|user| aggregator.push(user)), "what is read can be packed");
    let size = aggregator.size();
    let packed = aggregator.finish().expect("an aggregate has a record");
    assert_eq!((packed.len(), user_records(&packed)), (size, Some(users)));
}

/// A message whose fields are mostly what they should be.
fn build(mut plan: Plan<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..plan.below(4) {
        bytes(&mut message, 1, plan.choice(&["a", "b", "Zo\u{eb}"]).as_bytes());
    }
    while !plan.is_over() && message.len() < 4096 {
        match plan.byte() {
            0..8 => bytes(&mut message, 1, plan.bytes()),
            8..48 => bytes(&mut message, 2, plan.bytes()),
            48..248 => {
                let record = record(&mut plan);
                bytes(&mut message, 3, &record);
            }
            _ => stray(&mut message, &mut plan),
        }
    }
    message
}

fn record(plan: &mut Plan<'_>) -> Vec<u8> {
    let mut record = Vec::new();
    let fields = plan.byte();
    if fields != 0 {
        record.push(1 << 3);
        record.extend(number(plan));
    }
    if fields % 8 == 1 {
        record.push(2 << 3);
        record.extend(number(plan));
    }
    if fields != 2 {
        bytes(&mut record, 3, plan.bytes());
    }
    if fields % 64 == 3 {
        stray(&mut record, plan);
    }
    record
}

/// A small number, with bytes to spare now and then, or too many of them.
fn number(plan: &mut Plan<'_>) -> Vec<u8> {
    match plan.byte() {
        small @ 0..250 => vec![small / 100],
        long => [vec![0x80; usize::from(long % 5) * 3], vec![plan.byte() % 4]].concat(),
    }
}

/// Of any kind, or broken.
fn stray(message: &mut Vec<u8>, plan: &mut Plan<'_>) {
    let tag = plan.byte();
    match tag & 7 {
        2 => bytes(message, tag >> 3, plan.bytes()),
        _ => {
            message.push(tag);
            message.extend_from_slice(plan.bytes());
        }
    }
}

/// A field of wire type 2; the longest that a plan makes has few bytes.
fn bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    let length = bytes.len();
    if length >= 128 {
        message.push(length as u8 | 0x80);
    }
    message.push(if length >= 128 { (length >> 7) as u8 } else { length as u8 });
    message.extend_from_slice(bytes);
}

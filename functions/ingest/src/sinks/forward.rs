//! Sends a run of records on into a stream.

use std::time::Duration;

use tripline_model::decode::Reason;
use tripline_model::forward::{Forwarder, Outgoing, Passing};
use tripline_model::pipeline::{Pipeline, Target};
use tripline_model::source::SourceRecord;
use tripline_search::Refused;
use tripline_stream::sink::{Fate, Sent, StreamSink};

use super::side::Outcome;
use super::{Cause, Place, Setback, Taken, first};

/// Sends the events among the records, within `left_ms` milliseconds.
pub(super) async fn send(
    (target, sink): (Target, &dyn StreamSink),
    pipeline: &Pipeline,
    place: Place<'_>,
    records: &[SourceRecord<'_>],
    left_ms: i64,
) -> Outcome {
    let mut read = read(target, pipeline, place, records);
    let within = Duration::from_millis(u64::try_from(left_ms).unwrap_or_default());
    let sent = match read.events.as_slice() {
        [] => Sent::default(),
        events => sink.send(events, within).await,
    };
    let mut setback = read.failed;
    // A fate that the sink does not tell is open.
    let untold = || Fate::Open { error: "the sink does not tell whether it is in".to_owned() };
    let mut fates = sent.fates.into_iter();
    for event in &read.events {
        match fates.next().unwrap_or_else(untold) {
            Fate::Taken => {}
            Fate::Refused { error } => read.refused.push(Refused {
                record: event.record,
                reason: Reason::Rejected,
                error,
                event_type: Some(event.event_type.to_owned()),
                malformed: false,
            }),
            Fate::Open { error } => {
                let open = Setback { from: event.record, cause: Cause::Stream { target, error } };
                setback = first(setback, Some(open));
                break;
            }
        }
    }
    read.refused.sort_by_key(|refused| refused.record);
    let streams = [(target, sent.counts)].into();
    Outcome { taken: Taken { streams, setback, ..Taken::default() }, refused: read.refused }
}

/// Records, told apart.
#[derive(Default)]
struct Read<'a> {
    events: Vec<Outgoing<'a>>,
    refused: Vec<Refused>,
    /// The first record that fails the batch; none from it on is among the others.
    failed: Option<Setback>,
}

fn read<'a>(
    target: Target,
    pipeline: &'a Pipeline,
    place: Place<'_>,
    records: &[SourceRecord<'a>],
) -> Read<'a> {
    let mut read = Read::default();
    let mut forwarder = Forwarder::new(pipeline, place.first, target);
    for (index, record) in records.iter().enumerate() {
        match forwarder.read(index, record) {
            Passing::Event(event) => read.events.push(event),
            Passing::Nothing | Passing::Ignored => {}
            Passing::Malformed { refusal, event_type } => read.refused.push(Refused {
                record: index,
                // After a panic it may be an event to the lake.
                malformed: refusal.reason != Reason::Internal,
                reason: refusal.reason,
                error: refusal.message,
                event_type,
            }),
            Passing::Failed(refusal) => {
                read.failed = Some(Setback { from: index, cause: Cause::Refused(refusal) });
                break;
            }
        }
    }
    read
}

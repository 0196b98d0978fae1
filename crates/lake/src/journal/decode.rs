//! A batch's records decoded up to the first that is refused.

use tripline_model::batch::DecodedBatch;
use tripline_model::decode::{DecodeError, Decoder, Pushed, Reason, Refusal};
use tripline_model::pipeline::Pipeline;
use tripline_model::source::{Position, SourcePartition, SourceRecord};

pub(super) struct Decoded {
    pub(super) batch: DecodedBatch,
    /// First and last position in the batch; `None` when nothing was taken.
    pub(super) range: Option<(Position, Position)>,
    pub(super) arrival_max_ms: Option<i64>,
    pub(super) repeated: u64,
    pub(super) refused: Option<(Position, Refusal)>,
    /// The columns can hold no more; the record at which they were full belongs to the next entry.
    pub(super) full: bool,
}

/// Decodes up to the first refused record. Records that share its position are not taken either:
/// an aggregate is in whole or not at all.
pub(super) fn decode(
    pipeline: &Pipeline,
    origin: &SourcePartition,
    records: &[SourceRecord<'_>],
    now_ms: i64,
) -> Result<Decoded, DecodeError> {
    let (taken, decoded) = decode_prefix(pipeline, origin, records, now_ms)?;
    let Some((at, refusal)) = decoded.refused.clone() else { return Ok(decoded) };
    let whole = records.iter().take(taken).take_while(|record| record.position < at).count();
    let before = if whole == taken {
        decoded
    } else {
        decode_prefix(pipeline, origin, records.get(..whole).unwrap_or_default(), now_ms)?.1
    };
    if refusal.reason == Reason::BatchFull && before.range.is_some() {
        return Ok(Decoded { refused: None, full: true, ..before });
    }
    Ok(Decoded { refused: Some((at, refusal)), ..before })
}

fn decode_prefix(
    pipeline: &Pipeline,
    origin: &SourcePartition,
    records: &[SourceRecord<'_>],
    now_ms: i64,
) -> Result<(usize, Decoded), DecodeError> {
    let mut decoder = Decoder::new(pipeline, origin, now_ms);
    let mut taken = 0;
    let mut previous = None;
    let (mut repeated, mut refused, mut range, mut arrival_max_ms) = (0, None, None, None);
    for record in records {
        let place = (record.position, record.sub_position);
        if previous.is_some_and(|previous| place <= previous) {
            repeated += 1;
            taken += 1;
            continue;
        }
        previous = Some(place);
        if let Pushed::Refused(refusal) = decoder.push(record) {
            refused = Some((record.position, refusal));
            break;
        }
        taken += 1;
        range = Some((range.map_or(record.position, |(first, _)| first), record.position));
        arrival_max_ms = arrival_max_ms.max(record.arrival_ms);
    }
    let batch = decoder.finish()?;
    Ok((taken, Decoded { batch, range, arrival_max_ms, repeated, refused, full: false }))
}

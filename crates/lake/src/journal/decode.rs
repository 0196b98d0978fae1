//! A batch's records as columns: events decoded up to the first that is refused, or dead letters.

use std::sync::OnceLock;

use tripline_model::batch::DecodedBatch;
use tripline_model::decode::{
    DeadLetter, DecodeError, Decoder, Notes, Pushed, Reason, Refusal, dead_letters,
};
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

/// What the records of a batch are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// Events of a pipeline, to be decoded, and where notes on them are left, if anywhere.
    Events(&'a Pipeline, Option<&'a OnceLock<Notes>>),
    /// Records that a sink did not take: one letter for each record.
    DeadLetters(&'a [DeadLetter<'a>]),
}

impl Content<'_> {
    /// Makes columns of `records` from index `start` on.
    pub(super) fn decode(
        &self,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        start: usize,
        now_ms: i64,
    ) -> Result<Decoded, DecodeError> {
        match self {
            Self::Events(pipeline, left) => {
                let wanted = left.filter(|left| left.get().is_none());
                let mut notes = wanted.map(|_| Notes::new(pipeline, records.len()));
                let fresh = records.get(start..).unwrap_or_default();
                let decoded = decode(pipeline, origin, fresh, now_ms, &mut |decoder, record, index| {
                    if let Some(notes) = &mut notes {
                        decoder.note(record, notes, start + index);
                    }
                })?;
                if let Some((left, notes)) = wanted.zip(notes) {
                    // Whoever was first has noted the same.
                    let _ = left.set(notes);
                }
                Ok(decoded)
            }
            Self::DeadLetters(letters) => {
                let fresh = letters.get(start..).unwrap_or_default();
                take_letters(origin, fresh, now_ms)
            }
        }
    }
}

fn take_letters(
    origin: &SourcePartition,
    letters: &[DeadLetter<'_>],
    now_ms: i64,
) -> Result<Decoded, DecodeError> {
    let place = |letter: &DeadLetter<'_>| (letter.record.position, letter.record.sub_position);
    let mut unique: Vec<DeadLetter<'_>> = Vec::with_capacity(letters.len());
    for letter in letters {
        if unique.last().is_none_or(|previous| place(previous) < place(letter)) {
            unique.push(letter.clone());
        }
    }
    let repeated = (letters.len() - unique.len()) as u64;
    let (mut batch, taken) = dead_letters(origin, &unique, now_ms)?;
    let mut refused = None;
    if let Some(first_left) = unique.get(taken) {
        // The columns are full: an aggregate is in whole or not at all.
        let at = first_left.record.position;
        unique.truncate(unique.partition_point(|letter| letter.record.position < at));
        batch = dead_letters(origin, &unique, now_ms)?.0;
        refused = Some((at, Refusal { reason: Reason::BatchFull, message: "the entry is full".to_owned() }));
    }
    let range = unique.first().zip(unique.last());
    Ok(Decoded {
        batch,
        range: range.map(|(first, last)| (first.record.position, last.record.position)),
        arrival_max_ms: unique.iter().filter_map(|letter| letter.record.arrival_ms).max(),
        repeated,
        full: refused.is_some() && range.is_some(),
        refused: refused.filter(|_| range.is_none()),
    })
}

/// Is told of every record that the decoder has taken, with the record and its index.
type Note<'a> = &'a mut dyn FnMut(&Decoder<'_>, &SourceRecord<'_>, usize);

/// Decodes up to the first refused record. Records that share its position are not taken either:
/// an aggregate is in whole or not at all.
fn decode(
    pipeline: &Pipeline,
    origin: &SourcePartition,
    records: &[SourceRecord<'_>],
    now_ms: i64,
    note: Note<'_>,
) -> Result<Decoded, DecodeError> {
    let (taken, decoded) = decode_prefix(pipeline, origin, records, now_ms, note)?;
    let Some((at, refusal)) = decoded.refused.clone() else { return Ok(decoded) };
    let whole = records.iter().take(taken).take_while(|record| record.position < at).count();
    let before = if whole == taken {
        decoded
    } else {
        decode_prefix(pipeline, origin, records.get(..whole).unwrap_or_default(), now_ms, &mut |_, _, _| {})?
            .1
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
    note: Note<'_>,
) -> Result<(usize, Decoded), DecodeError> {
    let mut decoder = Decoder::new(pipeline, origin, now_ms);
    let mut taken = 0;
    let mut previous = None;
    let (mut repeated, mut refused, mut range, mut arrival_max_ms) = (0, None, None, None);
    for (index, record) in records.iter().enumerate() {
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
        note(&decoder, record, index);
        taken += 1;
        range = Some((range.map_or(record.position, |(first, _)| first), record.position));
        arrival_max_ms = arrival_max_ms.max(record.arrival_ms);
    }
    let batch = decoder.finish()?;
    Ok((taken, Decoded { batch, range, arrival_max_ms, repeated, refused, full: false }))
}

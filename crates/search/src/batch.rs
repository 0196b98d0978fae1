//! The documents of a run of records, as lines of bulk requests.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use bytes::Bytes;
use tripline_model::decode::{DeadLetter, Notes, Reason, Refusal};
use tripline_model::document::{Document, Documents, LetterDocuments, Reading, push_number, push_string};
use tripline_model::pipeline::{IndexName, Pipeline, Policy, Search};
use tripline_model::source::{Payload, SourcePartition, SourceRecord};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::delivered::{Refused, SearchCounts};
use crate::reply::id_hash;
use crate::verdict::Act;

/// Keys that are hashes already are their own.
#[derive(Debug, Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// About what a document has beside its record: the line before it, and derived members.
const LINE_BYTES: usize = 160;

/// One document of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Index of its record.
    pub(crate) record: usize,
    /// Index of its event type.
    pub(crate) event: usize,
    pub(crate) act: Act,
    /// Its lines in the batch's text.
    pub(crate) lines: Range<usize>,
    /// Hash of its id; `None` if the cluster gives one out.
    pub(crate) id: Option<u64>,
    /// The item before it on the same document.
    pub(crate) before: Option<usize>,
}

/// The documents of a run of records.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) text: Bytes,
    pub(crate) items: Vec<Item>,
    /// Records that have no document, in their order.
    pub(crate) refused: Vec<Refused>,
    /// The first record that fails the batch, by the pipeline's policy. None from it on is in the batch.
    pub(crate) failed: Option<(usize, Refusal)>,
    pub(crate) counts: SearchCounts,
}

impl Batch {
    /// Makes the documents of `records`, none of them longer than `max_bytes`. What a decoder has noted of the
    /// records is made use of.
    pub(crate) fn new(
        pipeline: &Pipeline,
        origin: &SourcePartition,
        records: &[SourceRecord<'_>],
        notes: Option<&Notes>,
        now_ms: i64,
        max_bytes: usize,
    ) -> Self {
        let length = |record: &SourceRecord<'_>| match record.payload {
            Payload::Bytes(bytes) => bytes.len() + LINE_BYTES,
            Payload::Undecodable(_) => 0,
        };
        let mut batch = Self { items: Vec::with_capacity(records.len()), ..Self::default() };
        let mut text = Vec::with_capacity(records.iter().map(length).sum());
        let mut documents = Documents::new(pipeline, origin, now_ms);
        let mut last_of =
            HashMap::with_capacity_and_hasher(records.len(), BuildHasherDefault::<Itself>::default());
        let mut body = Vec::new();
        for (record, source) in records.iter().enumerate() {
            body.clear();
            batch.counts.records += 1;
            match documents.read_noted(source, notes.map(|notes| (notes, record)), &mut body) {
                Reading::NoDocument => batch.counts.without_document += 1,
                Reading::Ignored(_) => batch.counts.ignored += 1,
                Reading::Refused(refused) if refused.fails => {
                    batch.counts.records -= 1;
                    batch.failed = Some((record, refused.refusal));
                    break;
                }
                Reading::Refused(refused) => batch.refused.push(Refused {
                    record,
                    reason: refused.refusal.reason,
                    error: refused.refusal.message,
                    event_type: refused.event_type,
                    malformed: refused.malformed,
                }),
                Reading::Document(document) | Reading::Delete(document) => {
                    let Some(search) = search_of(pipeline, document.event) else { continue };
                    let act = if body.is_empty() { Act::Delete } else { search.action.into() };
                    let start = text.len();
                    push_lines(&mut text, &document, act, search, &body);
                    let length = text.len() - start;
                    if length > max_bytes {
                        text.truncate(start);
                        let message =
                            format!("its document is {length} bytes, and a request may have {max_bytes}");
                        let refusal = Refusal { reason: Reason::DocumentTooLarge, message };
                        if !batch.set_aside(pipeline, record, document.event, refusal) {
                            break;
                        }
                        continue;
                    }
                    let id = document.id.map(id_hash);
                    let same = id.map(|id| xxh3_64_with_seed(document.index.as_bytes(), id));
                    let before = same.and_then(|same| last_of.insert(same, batch.items.len()));
                    let lines = start..text.len();
                    batch.items.push(Item { record, event: document.event, act, lines, id, before });
                }
            }
        }
        batch.text = text.into();
        batch
    }

    /// Makes the documents of dead letters, but for those that are longer than `max_bytes`. None of them is an
    /// event, so that whatever the cluster says of one concerns no policy of an event type.
    pub(crate) fn of_letters(
        index: &IndexName,
        origin: &SourcePartition,
        letters: &[DeadLetter<'_>],
        now_ms: i64,
        max_bytes: usize,
    ) -> Self {
        let (mut batch, mut text) = (Self::default(), Vec::new());
        let documents = LetterDocuments::new(index, origin, now_ms);
        for (record, letter) in letters.iter().enumerate() {
            let (start, id) = (text.len(), documents.id(letter));
            text.extend_from_slice(b"{\"index\":{\"_index\":");
            push_string(&mut text, documents.index());
            text.extend_from_slice(b",\"_id\":");
            push_string(&mut text, &id);
            text.extend_from_slice(b"}}\n");
            documents.write(letter, &mut text);
            text.push(b'\n');
            if text.len() - start > max_bytes {
                text.truncate(start);
                continue;
            }
            let (lines, id) = (start..text.len(), Some(id_hash(&id)));
            batch.items.push(Item { record, event: usize::MAX, act: Act::Index, lines, id, before: None });
        }
        batch.text = text.into();
        batch
    }

    /// The lines of these items, `bytes` in all: a part of the text where they follow one another, as they do
    /// unless some are sent again, else a copy.
    pub(crate) fn body(&self, items: &[usize], bytes: usize) -> Bytes {
        let lines = |&index: &usize| Some(self.items.get(index)?.lines.clone());
        let (first, last) = (items.first().and_then(lines), items.last().and_then(lines));
        let around = first.zip(last).map(|(first, last)| first.start..last.end);
        let whole = around.filter(|around| around.len() == bytes).and_then(|around| self.text.get(around));
        whole.map(|whole| self.text.slice_ref(whole)).unwrap_or_else(|| {
            let mut body = Vec::with_capacity(bytes);
            for lines in items.iter().filter_map(lines) {
                body.extend_from_slice(self.text.get(lines).unwrap_or_default());
            }
            body.into()
        })
    }

    /// Does with a record whose document cannot be sent as the pipeline says; `false` if it fails the batch.
    fn set_aside(&mut self, pipeline: &Pipeline, record: usize, event: usize, refusal: Refusal) -> bool {
        match search_of(pipeline, event).map_or(Policy::DeadLetter, |search| search.on_rejected) {
            Policy::Ignore => self.counts.ignored += 1,
            Policy::Fail => {
                self.counts.records -= 1;
                self.failed = Some((record, refusal));
                return false;
            }
            Policy::DeadLetter => {
                let event_type = pipeline.events.get(event).map(|event| event.type_value.clone());
                let Refusal { reason, message: error } = refusal;
                self.refused.push(Refused { record, reason, error, event_type, malformed: false });
            }
        }
        true
    }
}

pub(crate) fn search_of(pipeline: &Pipeline, event: usize) -> Option<&Search> {
    pipeline.events.get(event)?.search.as_ref()
}

/// Appends what a bulk request says of a document: what to do with it, and the document.
fn push_lines(text: &mut Vec<u8>, document: &Document<'_>, act: Act, search: &Search, body: &[u8]) {
    text.extend_from_slice(b"{\"");
    text.extend_from_slice(act.name().as_bytes());
    text.extend_from_slice(b"\":{\"_index\":");
    push_string(text, document.index);
    let mut member = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            text.extend_from_slice(name.as_bytes());
            push_string(text, value);
        }
    };
    member(",\"_id\":", document.id);
    member(",\"routing\":", document.routing);
    member(",\"pipeline\":", search.ingest_pipeline.as_deref().filter(|_| act != Act::Delete));
    if let Some(version) = document.version {
        text.extend_from_slice(b",\"version\":");
        push_number(text, version);
        text.extend_from_slice(b",\"version_type\":\"external_gte\"");
    }
    if act == Act::Update {
        text.extend_from_slice(b",\"retry_on_conflict\":3");
    }
    text.extend_from_slice(b"}}\n");
    match act {
        Act::Delete => {}
        Act::Index | Act::Create => {
            text.extend_from_slice(body);
            text.push(b'\n');
        }
        Act::Update => {
            text.extend_from_slice(b"{\"doc\":");
            text.extend_from_slice(body);
            text.extend_from_slice(b",\"doc_as_upsert\":true}\n");
        }
    }
}

//! Back-fills: the rows of objects go the way of a stream's records, each once.
//!
//! An object is one lane, by its URL and entity tag, and a row's number is its position. So it does not matter how
//! often or by whom it is taken in, `tripline backfill` among them, or where that ended. An invocation works until its
//! time is nearly up, and the next one drops what is in.

mod read;
mod request;

use serde::Serialize;
use tripline_lake::journal::JournalError;
use tripline_source::RowBatch;
use tripline_stream::response::BatchResponse;

pub use read::{ObjectError, Objects};
use request::{ObjectName, Request};

use crate::batch::Failed;
use crate::sinks::{Cause, Place, Setback};
use crate::{Answer, Batch, Ingest, IngestError};

/// What the function answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Response {
    /// To an event source mapping.
    Batch(BatchResponse),
    /// To who named objects.
    Objects(ObjectsDone),
}

/// What became of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectsDone {
    /// URLs of those that are in as a whole.
    pub done: Vec<String>,
    /// URLs of those that are not; name them again.
    pub left: Vec<String>,
    /// Rows read.
    pub records: u64,
    /// Of these, rows that were in already.
    pub duplicates: u64,
    /// Dead letters that are new in the lake.
    pub dead_letters: u64,
}

impl Ingest {
    /// Handles an invocation of any kind: a mapping's event as [`handle`](Self::handle), and one that names objects.
    ///
    /// # Errors
    /// [`IngestError`]: it must come again.
    pub async fn invoke(&self, body: &[u8], deadline_ms: i64) -> Result<Response, IngestError> {
        let (began_ms, stop_at_ms) = (self.clock.now_ms(), self.stop_at(deadline_ms));
        let mut result = self.event(body, stop_at_ms).await;
        // Looked at last: a stream's events, which come by thousands, are none of these.
        if let Err(IngestError::Envelope(_)) = result
            && let Some(request) = Request::parse(body)
        {
            let (done, batch) = match self.take_in(request, stop_at_ms).await {
                Ok(answer) => answer,
                Err(error) => {
                    let failed = Err(error);
                    self.log(&failed, began_ms);
                    return failed.map(|answer| Response::Batch(answer.response));
                }
            };
            result = Ok(Answer { response: BatchResponse::success(), batch });
            self.log(&result, began_ms);
            return Ok(Response::Objects(done));
        }
        self.log(&result, began_ms);
        result.map(|answer| Response::Batch(answer.response))
    }

    async fn take_in(
        &self,
        request: Result<Request, String>,
        stop_at_ms: i64,
    ) -> Result<(ObjectsDone, Batch), IngestError> {
        let Request { objects, direct } = request.map_err(IngestError::Objects)?;
        let no_way = || IngestError::Objects("this function reads none".to_owned());
        let from = self.options.objects.as_deref().ok_or_else(no_way)?;
        let mut work = Work { stop_at_ms, longest_ms: 0, batch: Batch::default() };
        let mut answer = ObjectsDone::default();
        for object in objects {
            if !direct && from.is_of_the_lake(&object) {
                // Its own entries and files, where the bucket's notifications are not bound to a prefix.
                tracing::warn!(
                    object = object.url(),
                    "left out: it lies in the lake; give the notification a prefix"
                );
                continue;
            }
            let is_done = !work.is_over(self.clock.now_ms()) && self.object(from, &object, &mut work).await?;
            if is_done { &mut answer.done } else { &mut answer.left }.push(object.url());
        }
        let batch = work.batch;
        if !direct && !answer.left.is_empty() {
            return Err(IngestError::Unfinished { objects: answer.left });
        }
        let (records, duplicates) = (batch.delivered, batch.duplicates);
        let dead_letters = batch.counts.dead_letters + batch.sink_dead_letters;
        Ok((ObjectsDone { records, duplicates, dead_letters, ..answer }, batch))
    }

    /// Takes an object in, as far as time allows. Returns whether all of it is in.
    async fn object(&self, from: &Objects, name: &ObjectName, work: &mut Work) -> Result<bool, IngestError> {
        let mut object = from.open(name, &self.options.source_epoch).await?;
        work.batch.partitions += 1;
        let lane = object.lane.clone();
        let is_done = loop {
            let began_ms = self.clock.now_ms();
            if work.is_over(began_ms) {
                break Ok(false);
            }
            let rows = match object.next().await {
                Ok(Some(rows)) => rows,
                Ok(None) => break Ok(true),
                Err(error) => break Err(error.into()),
            };
            match self.rows(Place::of(&lane), &rows, work).await {
                Ok(true) => {}
                other => break other,
            }
            work.longest_ms = work.longest_ms.max(self.clock.now_ms().saturating_sub(began_ms));
        };
        object.close().await;
        is_done
    }

    async fn rows(&self, place: Place<'_>, rows: &RowBatch, work: &mut Work) -> Result<bool, IngestError> {
        for (position, bytes) in &rows.oversize {
            tracing::warn!(partition = %place.lane, position, bytes, "row left out: longer than a stream's record may be");
        }
        let records = rows.source_records();
        work.batch.delivered += records.len() as u64;
        let taken = self.take(place, &records, work.stop_at_ms).await;
        match work.batch.add(taken) {
            None => Ok(true),
            Some(Setback { cause: Cause::Journal(JournalError::Deadline { .. }), .. }) => Ok(false),
            Some(Setback { from, cause }) => {
                let record = records.get(from).map(|record| record.position).unwrap_or_default();
                Err(Failed { partition: place.lane, record, from, cause }.into())
            }
        }
    }
}

/// The work of an invocation.
struct Work {
    stop_at_ms: i64,
    /// What a batch has taken at most.
    longest_ms: i64,
    batch: Batch,
}

impl Work {
    /// Whether another batch could be cut off by the end of the time.
    const fn is_over(&self, now_ms: i64) -> bool {
        now_ms.saturating_add(self.longest_ms.saturating_mul(2)) >= self.stop_at_ms
    }
}

//! Back-fills: the rows of objects go the way of a stream's records, each once.
//!
//! An object is one lane, by its URL and entity tag, and a row's number is its position. So it does not matter how
//! often or by whom it is taken in, `tripline backfill` among them, or where that ended. An invocation works until its
//! time is nearly up. The lake drops what it has when that comes again; other sinks do not, so who invokes the function
//! directly is told the row to go on with.

mod read;
mod request;

use serde::Serialize;
use tripline_lake::journal::JournalError;
use tripline_search::Why;
use tripline_stream::response::BatchResponse;

use read::OpenObject;
pub use read::{ObjectError, Objects};
pub use request::Rest;
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
    /// What time did not suffice for: to be named again, as it is here.
    pub left: Vec<Rest>,
    /// What cannot be taken in.
    pub failed: Vec<FailedObject>,
    /// Rows read.
    pub records: u64,
    /// Of these, rows that were in already.
    pub duplicates: u64,
    /// Dead letters that are new in the lake.
    pub dead_letters: u64,
}

/// An object that cannot be taken in, or not beyond a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedObject {
    /// What is not in.
    #[serde(flatten)]
    pub rest: Rest,
    /// Why.
    pub reason: String,
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
                    self.observe(&failed, began_ms);
                    return failed.map(|answer| Response::Batch(answer.response));
                }
            };
            result = Ok(Answer { response: BatchResponse::success(), batch });
            self.observe(&result, began_ms);
            return Ok(Response::Objects(done));
        }
        self.observe(&result, began_ms);
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
        let (mut answer, mut fault) = (ObjectsDone::default(), None);
        for object in objects {
            if !direct && from.is_of_the_lake(&object) {
                // Its own entries and files, where the bucket's notifications are not bound to a prefix.
                tracing::warn!(
                    object = object.url(),
                    "left out: it lies in the lake; give the notification a prefix"
                );
                continue;
            }
            if work.is_over(self.clock.now_ms()) {
                answer.left.push(object.rest());
                continue;
            }
            match self.object(from, &object, &mut work).await {
                (_, Ok(true)) => answer.done.push(object.url()),
                (rest, Ok(false)) => answer.left.push(rest),
                (rest, Err(error)) => {
                    let reason = error.to_string();
                    tracing::error!(object = rest.object, reason, "object failed");
                    answer.failed.push(FailedObject { rest, reason });
                    fault.get_or_insert(error);
                }
            }
        }
        let batch = work.batch;
        if !direct && let Some(error) = fault {
            return Err(error);
        }
        if !direct && !answer.left.is_empty() {
            let objects = answer.left.into_iter().map(|rest| rest.object).collect();
            return Err(IngestError::Unfinished { objects });
        }
        let (records, duplicates) = (batch.delivered, batch.duplicates);
        let dead_letters = batch.counts.dead_letters + batch.sink_dead_letters;
        Ok((ObjectsDone { records, duplicates, dead_letters, ..answer }, batch))
    }

    /// Takes an object in, as far as time allows. Returns what of it is not in, and whether that is nothing.
    async fn object(
        &self,
        from: &Objects,
        name: &ObjectName,
        work: &mut Work,
    ) -> (Rest, Result<bool, IngestError>) {
        let mut object = match from.open(name, &self.options.source_epoch).await {
            Ok(object) => object,
            Err(error) => return (name.rest(), Err(error.into())),
        };
        work.batch.partitions += 1;
        let is_done = self.rows(&mut object, work).await;
        (object.close().await, is_done)
    }

    async fn rows(&self, object: &mut OpenObject, work: &mut Work) -> Result<bool, IngestError> {
        loop {
            let began_ms = self.clock.now_ms();
            if work.is_over(began_ms) {
                return Ok(false);
            }
            let Some(rows) = object.next().await? else { return Ok(true) };
            let partition = &object.lane;
            for (position, bytes) in &rows.oversize {
                tracing::warn!(%partition, position, bytes, "row left out: longer than a stream's record may be");
            }
            let records = rows.source_records();
            work.batch.delivered += records.len() as u64;
            let taken = self.take(Place::of(partition), &records, work.stop_at_ms).await;
            let setback = work.batch.add(taken);
            let now_ms = self.clock.now_ms();
            work.longest_ms = work.longest_ms.max(now_ms.saturating_sub(began_ms));
            let Some(Setback { from, cause }) = setback else {
                object.go_on_at(rows.last().saturating_add(1));
                continue;
            };
            let record = records.get(from).map(|record| record.position).unwrap_or_default();
            let failed = Failed { partition, record, from, cause };
            let is_late = match &failed.cause {
                Cause::Journal(JournalError::Deadline { .. }) | Cause::Search(Why::TimeUp { .. }) => true,
                Cause::Refused(_) => false,
                // A stream that was tried until the time was up may take the rest in the next invocation.
                _ => work.is_over(now_ms),
            };
            let result = if is_late {
                failed.warn();
                Ok(false)
            } else {
                Err(failed.into())
            };
            if let Some(row) = rows.records.get(from) {
                object.go_on_at(row.position);
            }
            return result;
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

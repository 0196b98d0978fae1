//! The event source mapping's side: batches are delivered until the function says they are done, or given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tripline_lake::clock::{Clock as _, SystemClock};
use tripline_stream::mapping::delivery::{Answer, Batch, Condition, Delivery, ShardBatch};
use tripline_stream::mapping::{MappingSettings, Reply};

use super::delivered::Delivered;
use super::drill::Drill;
use super::functions::{Functions, Outcome, Publication};
use super::on_failure::{GivenUp, OnFailure};
use super::retries::{FILE_RETRIES, Limits, STREAM_RETRIES, pause_after};
use super::status::Status;

/// How often it is looked whether the run is to end.
const LOOK: Duration = Duration::from_millis(200);

/// A local event source mapping with the functions behind it.
pub(super) struct Mapping {
    pub(super) functions: Functions,
    pub(super) settings: MappingSettings,
    pub(super) limits: Limits,
    pub(super) on_failure: Option<OnFailure>,
    /// A fault drill.
    pub(super) drill: Option<Drill>,
    pub(super) delivered: Delivered,
    pub(super) status: Status,
    /// Somebody wants the run to end.
    pub(super) stopped: Arc<AtomicBool>,
}

/// Failures of one batch.
#[derive(Default)]
struct Failures {
    /// In a row, for the pause between them.
    in_a_row: u32,
    /// In a row, with nobody to invoke.
    away: u32,
}

impl Mapping {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Delivers a shard's batch, in a drill in other cuts, too. Returns whether it is done: it is not if the run is
    /// stopped before.
    pub(super) async fn deliver_shard(&mut self, batch: ShardBatch<'_>) -> anyhow::Result<bool> {
        let cuts = match &mut self.drill {
            Some(drill) => drill.cuts(batch.records.len()),
            None => std::iter::once(0..batch.records.len()).collect(),
        };
        for cut in cuts {
            let records = batch.records.get(cut).unwrap_or_default();
            if !self.deliver(ShardBatch { records, ..batch }).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Delivers a batch, in pieces and again where the function's answers ask for it. Returns what is not done
    /// when the run is stopped; else nothing: all of it is in, or given up.
    pub(super) async fn deliver<B: Batch>(&mut self, batch: B) -> anyhow::Result<Vec<B>> {
        let mut delivery = Delivery::new(batch);
        let mut failures = Failures::default();
        while let Some((part, retried)) = delivery.next_part() {
            let Some(part) = self.without_aged(part, retried).await? else { continue };
            let event = part.event();
            let outcome = self.functions.invoke(&event, &mut self.delivered).await?;
            if let Outcome::Answered(_) = &outcome {
                self.status.counts(&self.delivered);
            }
            let answer = match &outcome {
                Outcome::Answered(answer) => Answer::Response(&answer.response),
                Outcome::Body(body) => Answer::Body(body),
                _ => Answer::Error,
            };
            // What is too large is no smaller at the next try.
            let is_too_large = matches!(outcome, Outcome::TooLarge(_));
            let bisects = self.settings.bisect_batch_on_function_error || is_too_large;
            let settings = MappingSettings { bisect_batch_on_function_error: bisects, ..self.settings };
            let left = part.next_after(answer, &settings);
            if left.is_empty() {
                failures = Failures::default();
                self.status.works();
                continue;
            }
            // A death on purpose is no attempt: the drill must not end in giving up.
            if matches!(outcome, Outcome::Died) {
                delivery.put_back(left, retried);
                continue;
            }
            self.count_failure(&outcome, &part, &mut failures)?;
            let given_up = match outcome {
                Outcome::Away(_) => {
                    delivery.put_back(vec![part], retried);
                    Vec::new()
                }
                Outcome::TooLarge(error) if left.len() == 1 => {
                    let condition = Condition::MaximumPayloadSizeExceeded;
                    self.give_up(&part, condition, retried, Some(error)).await?;
                    continue;
                }
                Outcome::TooLarge(_) => {
                    delivery.put_back(left, retried);
                    continue;
                }
                Outcome::Failed(error) => {
                    let parts = delivery.again(left, retried, self.limits.retries);
                    for part in &parts {
                        let condition = Condition::RetryAttemptsExhausted;
                        self.give_up(part, condition, retried + 1, Some(anyhow!("{error:#}"))).await?;
                    }
                    parts
                }
                Outcome::Answered(_) | Outcome::Body(_) | Outcome::Died => {
                    let parts = delivery.again(left, retried, self.limits.retries);
                    for part in &parts {
                        self.give_up(part, Condition::RetryAttemptsExhausted, retried + 1, None).await?;
                    }
                    parts
                }
            };
            if given_up.is_empty() && !self.pause(failures.in_a_row).await {
                return Ok(delivery.rest().collect());
            }
        }
        Ok(Vec::new())
    }

    /// Tells of a failure, and ends the run where nobody has been there to invoke for too long.
    fn count_failure<B: Batch>(
        &mut self,
        outcome: &Outcome,
        part: &B,
        failures: &mut Failures,
    ) -> anyhow::Result<()> {
        failures.in_a_row += 1;
        let why = match outcome {
            Outcome::Away(error) => {
                failures.away += 1;
                if failures.away > STREAM_RETRIES && self.limits.retries.is_some() {
                    bail!("{}: {error:#}; tried {} times", part.place(), failures.away);
                }
                format!("{error:#}")
            }
            Outcome::Failed(error) | Outcome::TooLarge(error) => {
                failures.away = 0;
                self.delivered.failures += 1;
                format!("{error:#}")
            }
            _ => {
                failures.away = 0;
                "the function asks for records again".to_owned()
            }
        };
        self.status.fails(failures.in_a_row, &format!("{}: {why}", part.place()));
        Ok(())
    }

    /// The part without what is too old, which is given up; `None` where nothing is left.
    async fn without_aged<B: Batch>(&mut self, part: B, retried: u32) -> anyhow::Result<Option<B>> {
        let Some(age_ms) = self.limits.age_ms else { return Ok(Some(part)) };
        let (aged, rest) = part.split_older(SystemClock.now_ms() - age_ms);
        if aged.records() > 0 {
            self.give_up(&aged, Condition::RecordAgeExceeded, retried, None).await?;
        }
        Ok(Some(rest).filter(|rest| rest.records() > 0))
    }

    /// Brings a batch to the on-failure destination.
    ///
    /// # Errors
    /// When there is none: why the batch is given up.
    async fn give_up<B: Batch>(
        &mut self,
        batch: &B,
        condition: Condition,
        invocations: u32,
        error: Option<anyhow::Error>,
    ) -> anyhow::Result<()> {
        let Some(on_failure) = &self.on_failure else {
            let place = batch.place();
            return Err(match (condition, error) {
                (Condition::RecordAgeExceeded, _) => {
                    anyhow!(
                        "{place} is older than --maximum-record-age; say where it is to be kept: --on-failure URL"
                    )
                }
                (Condition::RetryAttemptsExhausted, Some(error)) => {
                    error.context(format!("{place} failed {invocations} times"))
                }
                (_, Some(error)) => error.context(place),
                (_, None) => anyhow!(
                    "{place} failed {invocations} times: the function refuses records (see on_malformed in the pipeline file)"
                ),
            });
        };
        let event = batch.event();
        let is_error = error.is_some();
        on_failure.write(GivenUp { batch, event: &event, condition, invocations, is_error }).await?;
        let (batches, records) = &mut self.delivered.given_up;
        *batches += 1;
        *records += batch.records() as u64;
        self.status.given_up(self.delivered.given_up);
        Ok(())
    }

    /// Waits after so many failures. Returns false when the run is to end.
    async fn pause(&self, failures: u32) -> bool {
        let mut left = pause_after(failures);
        while !self.is_stopped() && !left.is_zero() {
            let now = left.min(LOOK);
            tokio::time::sleep(now).await;
            left -= now;
        }
        !self.is_stopped()
    }

    /// Delivers a saved event as it is.
    pub(super) async fn deliver_event(&mut self, body: &[u8]) -> anyhow::Result<()> {
        for attempt in 1..=FILE_RETRIES * 5 {
            match self.functions.invoke(body, &mut self.delivered).await? {
                Outcome::Answered(answer) if answer.response.is_success() => return Ok(()),
                // Of whatever source: nothing is listed.
                Outcome::Body(body) if Reply::read(&body) == Reply::Response(Vec::new()) => return Ok(()),
                Outcome::Answered(_) | Outcome::Body(_) => {
                    bail!("the function refuses records of the saved event")
                }
                Outcome::Failed(error) | Outcome::TooLarge(error) => return Err(error),
                Outcome::Away(error) if attempt == FILE_RETRIES * 5 => return Err(error),
                Outcome::Away(_) => tokio::time::sleep(pause_after(attempt)).await,
                Outcome::Died => {}
            }
        }
        bail!("the drill killed the function too often")
    }

    /// Publishes everything that is in the journal.
    pub(super) async fn publish(&mut self) -> anyhow::Result<Publication> {
        self.status.publishing();
        let publication = self.functions.publish(&mut self.delivered).await?;
        self.status.published(publication.count, publication.watermark_ms);
        Ok(publication)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tripline_lake::store::{MemoryStore, ObjectStore};
    use tripline_model::source::Position;
    use tripline_stream::mapping::{PutRecord, ShardOrigin};

    use super::*;
    use crate::run::functions::Remote;

    /// A mapping to a function that nobody serves.
    fn mapping(store: &Arc<MemoryStore>, limits: Limits) -> Mapping {
        let store: Arc<dyn ObjectStore> = Arc::<MemoryStore>::clone(store);
        Mapping {
            functions: Functions::Remote(Box::new(Remote::nowhere())),
            settings: MappingSettings { report_batch_item_failures: true, ..MappingSettings::default() },
            limits,
            on_failure: Some(OnFailure::new(store, "ingest", "trips")),
            drill: None,
            delivered: Delivered::default(),
            status: Status::new(),
            stopped: Arc::default(),
        }
    }

    fn record(sequence: u64, arrival_ms: i64) -> PutRecord {
        let (partition_key, data) = ("key".to_owned(), b"{}".to_vec());
        PutRecord { sequence: Position::new(sequence), partition_key, data, arrival_ms: Some(arrival_ms) }
    }

    fn origin() -> ShardOrigin {
        ShardOrigin { source: "stream".into(), shard: "shard".into(), invoke_identity_arn: "local".into() }
    }

    #[tokio::test]
    async fn records_that_are_too_old_are_given_up_without_an_invocation() {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let limits = Limits { retries: None, age_ms: Some(60_000) };
        let (mut mapping, origin, now) = (mapping(&store, limits), origin(), SystemClock.now_ms());
        let records = [record(1, now - 100_000), record(2, now - 61_000)];
        let left = mapping.deliver(ShardBatch { origin: &origin, records: &records }).await.unwrap();
        assert!(left.is_empty());
        assert_eq!((mapping.delivered.given_up, mapping.delivered.invocations), ((1, 2), 0));
        let kept = store.list("aws/lambda/", None, 10).await.unwrap();
        let object = store.get(&kept.first().unwrap().key).await.unwrap().unwrap();
        let written: serde_json::Value = serde_json::from_slice(&object.body).unwrap();
        let condition = written.pointer("/requestContext/condition").unwrap();
        assert_eq!((condition, kept.len()), (&"RecordAgeExceeded".into(), 1));
        assert!(written.get("responseContext").unwrap().is_null());
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_leaves_a_batch_that_fails_and_gives_nothing_up() {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let mut mapping = mapping(&store, Limits { retries: None, age_ms: None });
        mapping.stopped.store(true, Ordering::Relaxed);
        let (origin, records) = (origin(), [record(1, 0), record(2, 0)]);
        let left = mapping.deliver(ShardBatch { origin: &origin, records: &records }).await.unwrap();
        assert_eq!(left.iter().map(Batch::records).sum::<usize>(), 2);
        assert_eq!(mapping.delivered.given_up, (0, 0));
        assert!(store.list("", None, 10).await.unwrap().is_empty());
    }
}

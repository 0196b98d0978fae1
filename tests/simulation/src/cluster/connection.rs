//! A process's own connection to the cluster: slow, lossy, sometimes dead.

use std::fmt;
use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{sleep, timeout};
use tripline_lake::invariants::Invariant;
use tripline_search::{Answer, Cluster, Failure};

use super::bulk::{self, Operation, Said};
use super::plan::Faults;
use super::trouble::Mood;
use crate::clock::MINUTE;
use crate::coverage::Feature;
use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::rides::ride_in;
use crate::scene::{Scene, must};

/// A request that was sent takes effect within this time or never.
const LATEST: u64 = 10 * MINUTE;
/// Requests and documents of a thousand that an overloaded cluster refuses.
const OVERLOAD: u64 = 600;

/// What becomes of a request that the cluster could take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    Busy,
    Fails,
    LosesReply,
    Breaks,
    TakesEffectLate,
    Hangs,
    Garbles,
}

/// One process's way to the cluster. Clones are the same process.
#[derive(Clone)]
pub(crate) struct Connection {
    process: u64,
    scene: Scene,
    faults: Faults,
    /// No trouble of the cluster's reaches it.
    is_calm: bool,
    dice: Dice,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("process", &self.process).finish_non_exhaustive()
    }
}

#[async_trait]
impl Cluster for Connection {
    async fn bulk(&self, body: Bytes, limit: Duration) -> Result<Answer, Failure> {
        let sent_bytes = body.len();
        let asked = timeout(limit, self.ask(&body)).await.unwrap_or_else(|_| {
            self.note("is given up");
            Err(lost())
        });
        asked.map(|(status, body)| Answer { status, body: body.into(), sent_bytes })
    }
}

impl Connection {
    /// A connection for a process with this number.
    #[must_use]
    pub(crate) fn new(process: u64, scene: &Scene) -> Self {
        let faults = scene.schedule.cluster.faults;
        Self { process, scene: scene.clone(), faults, is_calm: false, dice: scene.dice.fork() }
    }

    /// One on which nothing goes wrong but what the documents themselves bring about.
    #[must_use]
    pub(crate) fn calm(scene: &Scene) -> Self {
        Self { faults: Faults::default(), is_calm: true, ..Self::new(u64::MAX, scene) }
    }

    fn note(&self, what: &str) {
        self.scene.trace.note(format_args!("{} bulk {what}", self.process));
    }

    fn pause(&self) -> Duration {
        let Faults { slow, slowest, .. } = self.faults;
        self.dice.pause(if self.dice.hits(slow) { slowest } else { slowest.min(40) })
    }

    fn mood(&self) -> Mood {
        if self.is_calm { Mood::Usual } else { self.scene.indices.mood() }
    }

    fn fate(&self) -> Fate {
        let faults = &self.faults;
        let roll = self.dice.roll(1_000);
        let shares = [
            (faults.busy, Fate::Busy),
            (faults.fails, Fate::Fails),
            (faults.loses_reply, Fate::LosesReply),
            (faults.breaks, Fate::Breaks),
            (faults.late, Fate::TakesEffectLate),
            (faults.hangs, Fate::Hangs),
            (faults.garbles, Fate::Garbles),
        ];
        let mut below = 0;
        let hit = shares.into_iter().find(|(share, _)| {
            below += share;
            roll < below
        });
        hit.map_or(Fate::Works, |(_, fate)| fate)
    }

    async fn ask(&self, body: &[u8]) -> Result<(u16, String), Failure> {
        let operations = self.read(body);
        sleep(self.pause()).await;
        if let Some(told) = self.in_trouble(&operations).await {
            return told;
        }
        let plan = &self.scene.schedule.cluster;
        let seen = &self.scene.seen;
        if plan.longest > 0 && body.len() > plan.longest {
            self.note("413");
            seen.saw_if(operations.len() > 1, Feature::BulkHalved);
            return Ok((413, "{\"Message\":\"Request size exceeded\"}".to_owned()));
        }
        let confusing = |operation: &Operation| plan.is_confusing(ride_in(&operation.source));
        if operations.iter().any(confusing) {
            self.note("400");
            seen.saw(Feature::BulkNotUnderstood);
            return Ok((400, "{\"error\":{\"type\":\"parse_exception\",\"reason\":\"what?\"}}".to_owned()));
        }
        let fate = self.fate();
        self.note(&format!("of {} {fate:?}", operations.len()));
        match fate {
            Fate::Works => {
                let said = self.apply(&operations);
                sleep(self.pause()).await;
                Ok((200, bulk::answer(operations.iter().zip(said))))
            }
            Fate::Garbles => Ok((200, self.garbled(&operations))),
            Fate::Busy => Ok(self.busy()),
            Fate::Fails => match self.dice.roll(4) {
                0 => Ok((503, String::new())),
                1 => Ok((500, String::new())),
                2 => Err(Failure { sent: false, reason: "no connection".to_owned() }),
                _ => Err(lost()),
            },
            Fate::LosesReply => {
                self.apply(&operations);
                seen.saw(Feature::LostBulkReply);
                sleep(self.pause()).await;
                if self.dice.hits(500) { Ok((500, String::new())) } else { Err(lost()) }
            }
            Fate::Breaks => {
                let done = self.dice.index(operations.len() + 1);
                self.apply(&operations[..done]);
                seen.saw_if((1..operations.len()).contains(&done), Feature::BulkInPart);
                if self.dice.hits(500) { Ok((502, "<html>".to_owned())) } else { Err(lost()) }
            }
            Fate::TakesEffectLate => {
                seen.saw(Feature::LateBulk);
                let (late, lateness) = (self.clone(), self.dice.pause(LATEST));
                self.scene.spawn(async move {
                    sleep(lateness).await;
                    late.apply(&operations);
                });
                pending().await
            }
            Fate::Hangs => {
                if self.dice.hits(500) {
                    self.apply(&operations);
                }
                pending().await
            }
        }
    }

    /// What a request must be that a sink has sent.
    fn read(&self, body: &[u8]) -> Vec<Operation> {
        let options = &self.scene.schedule.cluster.options;
        let read = bulk::parse(body);
        must(Invariant::BulkWellFormed, read.is_ok(), || format!("{read:?}"));
        let operations = read.unwrap_or_default();
        let fits = body.len() <= options.max_bytes && operations.len() <= options.max_actions;
        must(Invariant::BulkWellFormed, fits, || {
            format!("{} documents in {} bytes, options: {options:?}", operations.len(), body.len())
        });
        operations
    }

    /// The answer of a cluster that does not serve, if it does not.
    async fn in_trouble(&self, operations: &[Operation]) -> Option<Result<(u16, String), Failure>> {
        let (mood, seen) = (self.mood(), &self.scene.seen);
        match mood {
            Mood::Usual => None,
            Mood::Overloaded if !self.dice.hits(OVERLOAD / 2) => None,
            Mood::Overloaded => Some(Ok(self.busy())),
            Mood::Away => {
                self.note("finds nobody");
                seen.saw(Feature::ClusterAway);
                match self.dice.roll(3) {
                    0 => Some(Ok((503, "<html>".to_owned()))),
                    1 => Some(Err(Failure { sent: false, reason: "no connection".to_owned() })),
                    _ => pending().await,
                }
            }
            Mood::Forbids => {
                self.note("is forbidden");
                seen.saw(Feature::ClusterForbids);
                Some(Ok(match self.dice.roll(3) {
                    0 => (401, String::new()),
                    1 => (403, "{\"message\":\"no\"}".to_owned()),
                    _ => (200, bulk::answer(operations.iter().map(|operation| (operation, Said::FORBIDDEN)))),
                }))
            }
        }
    }

    fn busy(&self) -> (u16, String) {
        self.note("429");
        self.scene.seen.saw(Feature::BulkBusy);
        (429, String::new())
    }

    /// Does what is asked, document by document, and tells what is said of each.
    fn apply(&self, operations: &[Operation]) -> Vec<Said> {
        let mut said: Vec<_> = operations.iter().map(|operation| self.apply_one(operation)).collect();
        if self.scene.mutant == Mutant::MixesStatuses && said.len() > 1 {
            said.rotate_left(1);
        }
        let statuses: Vec<_> = said.iter().map(|said| said.status).collect();
        self.note(&format!("{statuses:?}"));
        said
    }

    fn apply_one(&self, operation: &Operation) -> Said {
        let Scene { seen, indices, .. } = &self.scene;
        let busy = if self.mood() == Mood::Overloaded { OVERLOAD } else { self.faults.item_busy };
        if self.dice.hits(busy) {
            indices.note_busy(operation);
            return Said::BUSY;
        }
        if self.dice.hits(self.faults.item_fails) {
            return match self.dice.roll(3) {
                0 => Said::AWAY,
                1 => Said::FAILED,
                _ => {
                    self.write(operation);
                    Said::FAILED
                }
            };
        }
        let said = self.write(operation);
        seen.saw_if(said == Said::CONFLICT, Feature::DocumentConflict);
        seen.saw_if(indices.was_busy(operation), Feature::DocumentRetried);
        said
    }

    fn write(&self, operation: &Operation) -> Said {
        let Scene { schedule, clock, indices, mutant, .. } = &self.scene;
        if schedule.cluster.is_unfit(ride_in(&operation.source), clock.elapsed()) {
            return Said::UNFIT;
        }
        if *mutant == Mutant::ForgetsDocuments && self.dice.hits(100) {
            return Said::CREATED;
        }
        indices.apply(operation)
    }

    /// An answer that is not about what was asked: too short, too long, or in another order.
    fn garbled(&self, operations: &[Operation]) -> String {
        self.scene.seen.saw(Feature::BulkGarbled);
        let said = self.apply(operations);
        let mut items: Vec<_> = operations.iter().zip(said).collect();
        let is_told_apart = items.iter().any(|(operation, _)| operation.id != operations[0].id);
        match self.dice.roll(3) {
            // Documents of one id cannot be told apart, in whatever order they are.
            0 if is_told_apart => items.rotate_left(1),
            1 => items.push(items[0]),
            _ => drop(items.pop()),
        }
        bulk::answer(items)
    }
}

fn lost() -> Failure {
    Failure { sent: true, reason: "no answer".to_owned() }
}

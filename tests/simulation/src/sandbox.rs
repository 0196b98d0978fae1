//! The function's sandboxes: cold, warm, frozen between invocations, killed, or forgotten and still at
//! work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tripline_ingest::{Answer, Ingest, IngestError, IngestOptions};
use tripline_lake::Lake;
use tripline_lake::invariants::Invariant;
use tripline_lake::journal::JournalError;
use tripline_search::Why;
use tripline_stream::mapping::Reply;

use crate::clock::{MINUTE, SECOND};
use crate::cluster::Connection;
use crate::coverage::Feature;
use crate::feeding::Function;
use crate::freezing::Freezing;
use crate::mutant::Mutant;
use crate::scene::{Scene, must};

/// Lambda's bound on a function's start.
const START: Duration = Duration::from_millis(10 * SECOND);
/// The longest that an invocation stands still.
const LONGEST_NAP: u64 = 300 * MINUTE;

/// One process of the function.
#[derive(Debug)]
struct Sandbox {
    number: u64,
    ingest: Ingest,
}

/// All sandboxes of the function.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    scene: Scene,
    function: Function,
    /// Those that an invocation may go to.
    warm: Arc<Mutex<Vec<Arc<Sandbox>>>>,
    /// Invocations under way, those included that nobody waits for.
    running: Arc<Mutex<Vec<oneshot::Receiver<()>>>>,
}

impl Fleet {
    /// A fleet with no sandbox yet.
    #[must_use]
    pub(crate) fn new(scene: &Scene, function: Function) -> Self {
        Self { scene: scene.clone(), function, warm: Arc::default(), running: Arc::default() }
    }

    /// Invokes the function as a mapping does and returns what the mapping takes from it.
    pub(crate) async fn invoke(&self, body: Vec<u8>) -> Reply {
        let (scene, plan, dice) = (&self.scene, &self.scene.schedule.mapping, &self.scene.dice);
        let Some(sandbox) = self.sandbox().await else {
            scene.seen.saw(Feature::ColdStartFailed);
            return Reply::Error;
        };
        let deadline_ms = scene.now_ms() + plan.timeout as i64;
        let (answer, answered) = oneshot::channel();
        let invocation = self.clone().invocation(sandbox, body, deadline_ms, answer);
        let (ended, running) = oneshot::channel::<()>();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        let invocation = scene.spawn(async move {
            invocation.await;
            drop(ended);
        });
        let is_killed = dice.hits(scene.schedule.fortune.kills);
        let patience = if is_killed || dice.hits(plan.impatience) {
            dice.roll(dice.pick(&[200, 5 * SECOND, plan.timeout]))
        } else {
            plan.timeout
        };
        if let Ok(reply) = timeout(Duration::from_millis(patience), answered).await {
            // A sandbox that died has dropped its end.
            return reply.unwrap_or(Reply::Error);
        }
        scene.trace.note(format_args!("the mapping gives an invocation up"));
        scene.seen.saw(if is_killed { Feature::Killed } else { Feature::TimedOut });
        // The kill that follows a time-out may come late, and what was frozen wakes up once more.
        if is_killed || dice.hits(500) {
            invocation.abort();
        }
        Reply::Error
    }

    /// Waits for invocations that nobody waits for.
    pub(crate) async fn settle(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for invocation in running {
            let _ = invocation.await;
        }
    }

    async fn invocation(
        self,
        sandbox: Arc<Sandbox>,
        body: Vec<u8>,
        deadline_ms: i64,
        answer: oneshot::Sender<Reply>,
    ) {
        let handled = {
            let sandbox = Arc::clone(&sandbox);
            let handle = async move { sandbox.ingest.handle(&body, deadline_ms).await };
            Freezing::new(&self.scene, LONGEST_NAP, handle).await
        };
        let scene = &self.scene;
        let number = sandbox.number;
        match handled {
            Ok(handled) => {
                let Answer { response, batch } = &handled;
                scene.trace.note(format_args!("{number} answers {response:?}, {batch:?}"));
                scene.seen.saw_if(batch.counts.dead_letters > 0, Feature::DeadLetters);
                scene.seen.saw_if(batch.counts.ignored > 0, Feature::LeftOut);
                scene.seen.saw_if(!response.is_success(), Feature::PartialResponse);
                scene.seen.saw_if(!response.is_success(), Feature::Refused);
                scene.seen.saw_if(batch.sink_dead_letters > 0, Feature::SearchDeadLetters);
                let came_for_search = batch.duplicates == batch.delivered && batch.search.created > 0;
                scene.seen.saw_if(came_for_search, Feature::RedeliveredForSearch);
                let is_zombie = answer.is_closed();
                scene.seen.saw_if(is_zombie && batch.entries > 0, Feature::ZombieCommitted);
                self.give_back(sandbox);
                // As the runtime writes it and the mapping reads it.
                let text = serde_json::to_vec(response).unwrap_or_default();
                let _ = answer.send(Reply::read(&text));
            }
            Err(error) => {
                scene.trace.note(format_args!("{number} fails: {error}"));
                if !self.is_death(&error) {
                    self.give_back(sandbox);
                }
                let _ = answer.send(Reply::Error);
            }
        }
    }

    /// Judges an error of the function. `true`: the process is dead.
    fn is_death(&self, error: &IngestError) -> bool {
        let seen = &self.scene.seen;
        match error {
            IngestError::Journal(JournalError::Crash(_)) => return true,
            IngestError::Journal(JournalError::Deadline { .. }) => seen.saw(Feature::Deadline),
            IngestError::Journal(JournalError::Store(_)) => {}
            IngestError::Search { why: Why::Operator { .. }, .. } => seen.saw(Feature::SearchStopped),
            IngestError::Search { why: Why::TimeUp { .. }, .. } => seen.saw(Feature::SearchGaveUp),
            IngestError::Refused { .. } => seen.saw(Feature::Refused),
            IngestError::Journal(JournalError::Invariant { violation, .. }) => {
                must(violation.invariant, false, || violation.details.clone());
            }
            // Nobody but the protocol writes to the lake, and the stream is in order.
            other => must(Invariant::RecordOnce, false, || other.to_string()),
        }
        false
    }

    async fn sandbox(&self) -> Option<Arc<Sandbox>> {
        let (dice, fortune) = (&self.scene.dice, &self.scene.schedule.fortune);
        let warm = {
            let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
            if warm.is_empty() || dice.hits(fortune.cold_starts) {
                None
            } else {
                let index = dice.index(warm.len());
                // Left among the others, a second invocation may find it.
                let is_shared = dice.hits(fortune.concurrent);
                self.scene.seen.saw_if(is_shared && Arc::strong_count(&warm[index]) > 1, Feature::Concurrent);
                Some(if is_shared { Arc::clone(&warm[index]) } else { warm.swap_remove(index) })
            }
        };
        match warm {
            Some(sandbox) => Some(sandbox),
            None => self.start().await,
        }
    }

    async fn start(&self) -> Option<Arc<Sandbox>> {
        let Scene { schedule, mutant, .. } = &self.scene;
        let process = self.scene.process(schedule.weather);
        let open = Lake::open(Arc::new(process.line), process.environment, &schedule.rides.pipeline);
        let opened = timeout(START, open).await;
        self.scene.trace.note(format_args!(
            "{} starts: {:?}",
            process.number,
            opened.as_ref().map(Result::is_ok)
        ));
        let lake = opened.ok()?.ok()?;
        let options = IngestOptions {
            source_epoch: String::new(),
            partial_responses: schedule.mapping.settings.report_batch_item_failures
                || *mutant == Mutant::UnreportedFailures,
            ..IngestOptions::default()
        };
        let connection = Connection::new(process.number, &self.scene);
        let ingest = ingest(self.function, &self.scene, &lake, connection, options);
        Some(Arc::new(Sandbox { number: process.number, ingest }))
    }

    fn give_back(&self, sandbox: Arc<Sandbox>) {
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        if !warm.iter().any(|other| Arc::ptr_eq(other, &sandbox)) {
            warm.push(sandbox);
        }
    }
}

fn ingest(
    function: Function,
    scene: &Scene,
    lake: &Lake,
    connection: Connection,
    options: IngestOptions,
) -> Ingest {
    let (pipeline, clock) = (&scene.schedule.rides.pipeline, &lake.environment().clock);
    let sinks = function.sinks(scene, lake, connection);
    Ingest::feeding(sinks, Arc::clone(pipeline), Arc::clone(clock), options)
}

/// A function that starts cold on a sound line, for what is asked once a schedule is over.
///
/// # Panics
/// When the lake cannot be opened.
pub(crate) async fn calm_function(scene: &Scene, function: Function) -> Ingest {
    let pipeline = &scene.schedule.rides.pipeline;
    let opened = Lake::open(Arc::new(scene.store.memory.clone()), scene.calm(), pipeline).await;
    let lake = opened.expect("a sound store opens");
    let options = IngestOptions { partial_responses: true, ..IngestOptions::default() };
    ingest(function, scene, &lake, Connection::calm(scene), options)
}

/// Nothing of a schedule takes so long.
pub(crate) const FAR: i64 = i64::MAX;

/// Time in which every request that was ever sent has taken effect.
pub(crate) async fn let_requests_land() {
    sleep(Duration::from_millis(15 * MINUTE)).await;
}

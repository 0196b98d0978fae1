//! Publishers that run now and then, pause for hours, die and overlap; and the lifecycle rule that takes
//! their uploads away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tripline_lake::checkpoint::CheckpointError;
use tripline_lake::invariants::Invariant;
use tripline_lake::publish::{PublishError, PublishReport};
use tripline_lake::store::ErrorKind;
use tripline_lake::{Lake, OpenError, invariants};
use tripline_model::pipeline::LatePolicy;

use crate::clock::{HOUR, SECOND};
use crate::coverage::Feature;
use crate::freezing::Freezing;
use crate::scene::{Scene, must};
use crate::schedule::INVOCATION;

/// The longest that a run stands still.
const LONGEST_NAP: u64 = 10 * HOUR;

/// Why a run ended early.
enum Failure {
    Start(OpenError),
    Run(PublishError),
}

/// Runs a publisher again and again.
pub(crate) async fn publish_for_ever(scene: Scene, running: Arc<AtomicU64>) {
    loop {
        sleep(scene.dice.pause(scene.schedule.publish.pause)).await;
        if running.fetch_add(1, Ordering::Relaxed) > 0 {
            scene.seen.saw(Feature::Overlapped);
        }
        publish_once(&scene).await;
        running.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn publish_once(scene: &Scene) {
    let dice = &scene.dice;
    let process = scene.process(scene.schedule.publish_weather);
    let number = process.number;
    let deadline_ms = scene.now_ms() + INVOCATION as i64;
    let options = scene.schedule.publish.options.clone();
    let pipeline = Arc::clone(&scene.schedule.rides.pipeline);
    let run = async move {
        let lake = Lake::open(Arc::new(process.line), process.environment, &pipeline)
            .await
            .map_err(Failure::Start)?;
        lake.publisher(options).run(deadline_ms).await.map_err(Failure::Run)
    };
    let run = Freezing::new(scene, LONGEST_NAP, run);
    let life = if dice.hits(scene.schedule.fortune.kills) {
        dice.pause(30 * SECOND)
    } else {
        Duration::from_millis(INVOCATION) + run.nap()
    };
    let ended = timeout(life, run).await;
    match ended {
        Err(_) => {
            scene.trace.note(format_args!("{number} is killed"));
            scene.seen.saw(Feature::PublisherDied);
        }
        Ok(Ok(report)) => judge(scene, number, &report),
        Ok(Err(failure)) => judge_failure(scene, number, failure),
    }
}

fn judge(scene: &Scene, number: u64, report: &PublishReport) {
    scene.trace.note(format_args!("{number} publishes {report:?}"));
    scene.seen.saw_if(report.gave_way, Feature::PublisherGaveWay);
    scene.seen.saw_if(report.rebuilt > 0, Feature::Rebuilt);
    scene.seen.saw_if(report.deleted > 0, Feature::EntriesDeleted);
    scene.seen.saw_if(!report.completed.is_empty(), Feature::Completed);
    scene.seen.saw_if(!report.completed.is_empty() && report.entries == 0, Feature::CompletedWhileIdle);
    let diverts = scene.schedule.publish.options.event_time.late == LatePolicy::Divert;
    let late = if diverts { Feature::LateDiverted } else { Feature::LateAppended };
    scene.seen.saw_if(report.late_rows > 0, late);
    if let Some(stopped) = report.stopped.first() {
        must(Invariant::RecordOnce, false, || format!("a lane stands still: {}", stopped.reason));
    }
}

/// A run may fail with its store, and by nothing else.
fn judge_failure(scene: &Scene, number: u64, failure: Failure) {
    let told = match failure {
        Failure::Start(error) => {
            scene.trace.note(format_args!("{number} cannot start: {error}"));
            return;
        }
        Failure::Run(PublishError::Crash(crash)) => {
            scene.seen.saw(Feature::PublisherDied);
            scene.trace.note(format_args!("{number}: {crash}"));
            return;
        }
        Failure::Run(
            PublishError::Store(error) | PublishError::Checkpoint(CheckpointError::Store(error)),
        ) => {
            scene.trace.note(format_args!("{number} fails: {error}"));
            // An upload that expired under a publisher's hands is as bad as it gets.
            let is_expired = error.kind() == ErrorKind::Invalid && scene.schedule.publish.expiry > 0;
            must(Invariant::NothingLost, error.kind() == ErrorKind::Unknown || is_expired, || {
                error.to_string()
            });
            return;
        }
        Failure::Run(error) => error,
    };
    let invariant = match &told {
        PublishError::Invariant(violation) => violation.invariant,
        PublishError::Unrecoverable { .. } => Invariant::RebuiltAlike,
        _ => Invariant::NothingLost,
    };
    let _ = invariants::judge(invariants::Mode::Panic, invariant, false, || told.to_string());
}

/// Lets uploads expire that nobody has completed.
pub(crate) async fn expire_uploads_for_ever(scene: Scene) {
    let longest = scene.schedule.publish.expiry;
    if longest == 0 {
        return;
    }
    loop {
        sleep(scene.dice.pause(longest)).await;
        for (key, upload) in scene.store.memory.uploads() {
            if scene.dice.hits(500) {
                scene.trace.note(format_args!("{upload} of {key} expires"));
                scene.seen.saw(Feature::UploadExpired);
                scene.store.memory.expire_upload(&upload);
            }
        }
    }
}

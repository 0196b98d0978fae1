//! Times at which the cluster does not serve: outages, overload, and what operators do.

use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{MINUTE, SECOND};
use crate::scene::Scene;

/// How the cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As its plan says.
    #[default]
    Usual,
    /// Nobody answers, or a proxy says so.
    Away,
    /// Most of what is asked is too much.
    Overloaded,
    /// Somebody has taken the functions' rights away.
    Forbids,
}

/// Lets the cluster be in trouble now and then.
pub(crate) async fn trouble_for_ever(scene: Scene) {
    let plan = &scene.schedule.cluster;
    if plan.troubles.is_empty() {
        return;
    }
    loop {
        sleep(scene.dice.pause(plan.calm)).await;
        let mood = scene.dice.pick(plan.troubles);
        scene.trace.note(format_args!("the cluster is {mood:?}"));
        scene.indices.set_mood(mood);
        sleep(Duration::from_millis(scene.dice.between(20 * SECOND..=20 * MINUTE))).await;
        scene.indices.set_mood(Mood::Usual);
    }
}

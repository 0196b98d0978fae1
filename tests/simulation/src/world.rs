//! One schedule from its seed to its verdict.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tripline_lake::layout::IDENTITY;
use tripline_lake::store::{Condition, MemoryStore, ObjectStore, Put};
use tripline_lake::{Environment, Lake};

use crate::clock::VirtualClock;
use crate::cluster::trouble_for_ever;
use crate::coverage::{Feature, Seen};
use crate::dice::Dice;
use crate::feeding::Feeding;
use crate::mapping::Mapping;
use crate::mutant::Mutant;
use crate::publisher::{expire_uploads_for_ever, publish_for_ever};
use crate::reader::read_for_ever;
use crate::saboteur::sabotage_for_ever;
use crate::sandbox::let_requests_land;
use crate::scene::Scene;
use crate::schedule::Schedule;
use crate::store::Backing;
use crate::stream::Stream;
use crate::trace::Trace;
use crate::verdict;

/// What a schedule came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Digest of all that happened.
    pub digest: u64,
    /// Steps that it is made of.
    pub steps: u64,
    /// Which rare things happened.
    pub seen: Seen,
}

/// Plays the schedule of a seed. Nothing but the seed and the mutant decides what happens.
///
/// # Panics
/// With the violation, when an invariant does not hold.
pub(crate) async fn play(seed: u64, mutant: Mutant, is_printed: bool) -> Played {
    let dice = Dice::seeded(seed);
    let clock = VirtualClock::new();
    let schedule = Schedule::draw(&dice);
    let trace = Trace::new(clock, is_printed);
    // Files of a schedule are small, and are to have several parts all the same.
    let mut memory = MemoryStore::new(Arc::new(clock)).with_min_part_bytes(1);
    if schedule.repeats_are_done {
        memory = memory.with_repeats_done();
    }
    let scene = Scene::new(schedule, Backing::new(memory, mutant), clock, dice, trace, mutant);
    if scene.schedule.is_fresh {
        scene.seen.saw(Feature::FreshLake);
    } else {
        sign(&scene).await;
    }
    let feeding = scene.schedule.feeding;
    scene.seen.saw_if(feeding == Feeding::Both, Feature::BothSinks);
    scene.seen.saw_if(feeding == Feeding::Search, Feature::SearchAlone);
    scene.seen.saw_if(feeding == Feeding::Apart, Feature::TwoFunctions);
    scene.unless_broken(play_scene(&scene)).await;
    Played { digest: scene.trace.digest(), steps: scene.trace.steps(), seen: scene.seen.clone() }
}

async fn play_scene(scene: &Scene) {
    let stream = Arc::new(Stream::draw(&scene.schedule.stream, &scene.dice, &scene.seen));
    let functions = scene.schedule.feeding.functions().into_iter();
    let mappings: Vec<_> = functions.map(|function| Mapping::new(scene, &stream, function)).collect();
    let mut always = JoinSet::new();
    let running = Arc::default();
    for _ in 0..scene.schedule.publish.publishers {
        always.spawn(publish_for_ever(scene.clone(), Arc::clone(&running)));
    }
    always.spawn(read_for_ever(scene.clone()));
    always.spawn(expire_uploads_for_ever(scene.clone()));
    always.spawn(sabotage_for_ever(scene.clone()));
    always.spawn(trouble_for_ever(scene.clone()));
    let delivered = async {
        join_all(mappings.iter().map(Mapping::run)).await;
        let_requests_land().await;
    };
    let broken = async {
        while let Some(ended) = always.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = broken => {}
        () = delivered => {}
    }
    always.shutdown().await;
    let_requests_land().await;
    verdict::judge(scene, &stream, &mappings).await;
}

/// Puts the signature of a lake that was opened before: proving a store takes forty calls, and few
/// schedules need to show it again.
async fn sign(scene: &Scene) {
    static SIGNATURE: OnceCell<Bytes> = OnceCell::const_new();
    let signature = SIGNATURE.get_or_init(async || {
        let memory = MemoryStore::new(Arc::new(scene.clock));
        // Not the scene's randomness: only the first schedule of a process comes here.
        let environment = Environment { clock: Arc::new(scene.clock), ..Environment::default() };
        Lake::open(Arc::new(memory.clone()), environment, &scene.schedule.rides.pipeline)
            .await
            .expect("a sound store opens");
        memory.get(IDENTITY).await.ok().flatten().expect("a signature").body
    });
    let signature = signature.await.clone();
    let put = scene.store.memory.put(IDENTITY, signature, Condition::Absent).await;
    assert!(matches!(put, Ok(Put::Stored { .. })), "the lake is new");
}

//! A double of Lambda's Kinesis event source mapping: one iterator per shard, children after their
//! parents, and everything that it is allowed to do beyond delivering each record once.

mod delivery;
mod destination;
mod shard;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use tokio::sync::watch;

pub(crate) use destination::Destination;

use crate::coverage::Feature;
use crate::feeding::Function;
use crate::mutant::Mutant;
use crate::sandbox::Fleet;
use crate::scene::Scene;
use crate::stream::Stream;

/// The mapping of one stream to one function.
#[derive(Debug)]
pub(crate) struct Mapping {
    scene: Scene,
    /// What its function feeds.
    pub(crate) function: Function,
    fleet: Fleet,
    stream: Arc<Stream>,
    /// What was given up.
    pub(crate) destination: Destination,
    /// Numbers of the records behind which a shard has moved upon success.
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl Mapping {
    /// A mapping that has delivered nothing yet.
    #[must_use]
    pub(crate) fn new(scene: &Scene, stream: &Arc<Stream>, function: Function) -> Self {
        Self {
            scene: scene.clone(),
            function,
            fleet: Fleet::new(scene, function),
            stream: Arc::clone(stream),
            destination: Destination::default(),
            acknowledged: Mutex::default(),
        }
    }

    /// Delivers all that the stream holds, and waits for every invocation to end.
    pub(crate) async fn run(&self) {
        let done: Vec<_> = self.stream.shards.iter().map(|_| watch::Sender::new(false)).collect();
        let is_hasty = self.scene.schedule.mapping.is_hasty;
        let shards = self.stream.shards.iter().enumerate().map(async |(index, shard)| {
            for &parent in &shard.parents {
                if is_hasty {
                    self.scene.seen.saw_if(!*done[parent].borrow(), Feature::ChildBeforeParent);
                } else {
                    let _ = done[parent].subscribe().wait_for(|done| *done).await;
                }
            }
            self.shard(shard).await;
            done[index].send_replace(true);
        });
        join_all(shards).await;
        self.fleet.settle().await;
    }

    /// Whether a shard has moved behind a record upon success.
    #[must_use]
    pub(crate) fn has_acknowledged(&self, number: u64) -> bool {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// Whether a shard has moved behind a record upon success, and the record was never given up.
    #[must_use]
    pub(crate) fn has_settled(&self, number: u64) -> bool {
        self.has_acknowledged(number) && !self.destination.has(number)
    }

    fn acknowledge(&self, numbers: &[u64]) {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
    }

    fn is_parallel(&self) -> bool {
        self.scene.mutant == Mutant::ParallelizationFactor
    }
}

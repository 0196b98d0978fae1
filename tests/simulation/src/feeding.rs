//! Which functions read the stream, and what each of them feeds.

use std::sync::Arc;

use tripline_ingest::{Malformed, Sinks};
use tripline_lake::Lake;
use tripline_model::decode::Stage;
use tripline_search::{Environment, SearchSink};

use crate::cluster::Connection;
use crate::mutant::Mutant;
use crate::scene::Scene;

/// What the functions of a schedule feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Feeding {
    /// One function feeds the lake.
    #[default]
    Lake,
    /// One function feeds the lake and the cluster.
    Both,
    /// One function feeds the cluster, and there are no rows.
    Search,
    /// One function feeds the lake, and another, on the same shards, the cluster.
    Apart,
}

/// What one function feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// The lake.
    Lake,
    /// The lake and the cluster.
    Both,
    /// The cluster.
    Search {
        /// Another function feeds the lake.
        lake_elsewhere: bool,
    },
}

impl Feeding {
    /// The functions, each with a mapping of its own.
    #[must_use]
    pub(crate) fn functions(self) -> Vec<Function> {
        match self {
            Self::Lake => vec![Function::Lake],
            Self::Both => vec![Function::Both],
            Self::Search => vec![Function::Search { lake_elsewhere: false }],
            Self::Apart => vec![Function::Lake, Function::Search { lake_elsewhere: true }],
        }
    }

    /// Whether the cluster is fed.
    #[must_use]
    pub(crate) fn searches(self) -> bool {
        self != Self::Lake
    }
}

impl Function {
    /// Whether it feeds the lake.
    #[must_use]
    pub(crate) fn feeds_lake(self) -> bool {
        !matches!(self, Self::Search { .. })
    }

    /// Whether it feeds the cluster.
    #[must_use]
    pub(crate) fn feeds_search(self) -> bool {
        self != Self::Lake
    }

    /// Whether records that are no events become its dead letters.
    #[must_use]
    pub(crate) fn keeps_malformed(self) -> bool {
        self != Self::Search { lake_elsewhere: true }
    }

    /// Its sinks, the cluster at the other end of `connection`.
    #[must_use]
    pub(crate) fn sinks(self, scene: &Scene, lake: &Lake, connection: Connection) -> Sinks {
        let sink = || {
            let (clock, entropy) =
                (Arc::clone(&lake.environment().clock), Arc::clone(&lake.environment().entropy));
            let environment = Environment::new(move || clock.now_ms(), move || entropy.next());
            let (pipeline, options) =
                (Arc::clone(&scene.schedule.rides.pipeline), scene.schedule.cluster.options.clone());
            SearchSink::over(pipeline, options, environment, Arc::new(connection))
        };
        match self {
            Self::Lake => Sinks::lake(lake),
            Self::Both => Sinks::lake(lake).with_search(sink(), lake, Malformed::Elsewhere),
            Self::Search { lake_elsewhere } => {
                let is_told = lake_elsewhere && scene.mutant != Mutant::UntoldLakeElsewhere;
                let malformed = if is_told { Malformed::Elsewhere } else { Malformed::Letter(Stage::Decode) };
                Sinks::default().with_search(sink(), lake, malformed)
            }
        }
    }
}

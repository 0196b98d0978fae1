//! What an answer of the cluster means: one table, which the documentation shows as it stands here.

use Scope::{Item, Request};
use tripline_model::pipeline::Action;

/// What becomes of the documents that an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They are there.
    Accepted,
    /// They gave way to what was there; the pipeline's `on_version_conflict` says what that means.
    Conflict,
    /// They were not taken now: they are sent once more.
    Retry,
    /// It is not known whether they were taken: they are sent once more.
    RetryUnknown,
    /// They will never be taken; the pipeline's `on_rejected` says what becomes of their records.
    Rejected,
    /// The request was too large: each half is sent by itself.
    Halve,
    /// The request as a whole was not understood: each half is sent by itself, to find what it is about.
    Bisect,
    /// Nothing will be taken until somebody mends the deployment: delivery stops.
    Stop,
}

impl Verdict {
    /// What becomes of the documents, in words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Accepted => "delivered",
            Self::Conflict => "gives way: `on_version_conflict`",
            Self::Retry => "sent again",
            Self::RetryUnknown => "sent again; without ids counted as a possible duplicate",
            Self::Rejected => "refused: `on_rejected`",
            Self::Halve | Self::Bisect => "sent again in halves",
            Self::Stop => "delivery stops, and the batch fails",
        }
    }
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole request: its HTTP status.
    Request,
    /// One document of a request that was answered.
    Item,
}

/// A rule of the table: the first that fits decides.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What the status is of.
    pub scope: Scope,
    /// The statuses, from and to.
    pub statuses: (u16, u16),
    /// The actions that it is about; none: all.
    pub actions: &'static [Act],
    /// What follows.
    pub verdict: Verdict,
    /// When that is, in words.
    pub when: &'static str,
}

/// What is done with a document, deletion included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// See [`Action::Index`].
    Index,
    /// See [`Action::Create`].
    Create,
    /// See [`Action::Update`].
    Update,
    /// The document of an id is deleted.
    Delete,
}

impl Act {
    /// Its name in a bulk request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl From<Action> for Act {
    fn from(action: Action) -> Self {
        match action {
            Action::Index => Self::Index,
            Action::Create => Self::Create,
            Action::Update => Self::Update,
        }
    }
}

const fn rule(
    scope: Scope,
    statuses: (u16, u16),
    actions: &'static [Act],
    verdict: Verdict,
    when: &'static str,
) -> Rule {
    Rule { scope, statuses, actions, verdict, when }
}

/// Every rule, in the order in which they are asked.
pub const RULES: &[Rule] = &[
    rule(Item, (200, 299), &[], Verdict::Accepted, "created, updated, deleted, or nothing to do"),
    rule(Item, (404, 404), &[Act::Delete], Verdict::Accepted, "what was to be deleted is not there"),
    rule(Item, (409, 409), &[Act::Update], Verdict::Retry, "another writer changed the document meanwhile"),
    rule(Item, (409, 409), &[], Verdict::Conflict, "there is a newer version, or for `create` any"),
    rule(Item, (401, 401), &[], Verdict::Stop, "not authenticated"),
    rule(Item, (403, 403), &[], Verdict::Rejected, "no right to this index, or it is blocked; for all: stop"),
    rule(Item, (429, 429), &[], Verdict::Retry, "the cluster is busy, or its disks are full"),
    rule(Item, (503, 503), &[], Verdict::Retry, "no shard to write to"),
    rule(Item, (500, 599), &[], Verdict::RetryUnknown, "a failure within the cluster"),
    rule(Item, (400, 499), &[], Verdict::Rejected, "the document does not fit the index, or there is none"),
    rule(Request, (413, 413), &[], Verdict::Halve, "too large; a document alone is refused"),
    rule(Request, (429, 429), &[], Verdict::Retry, "the cluster is busy"),
    rule(Request, (503, 503), &[], Verdict::Retry, "the cluster, or a proxy before it, is not there"),
    rule(Request, (500, 599), &[], Verdict::RetryUnknown, "a failure on the way or within the cluster"),
    rule(Request, (400, 400), &[], Verdict::Bisect, "not understood; a document alone is refused"),
    rule(Request, (408, 408), &[], Verdict::RetryUnknown, "the request did not arrive in time"),
    rule(Request, (300, 499), &[], Verdict::Stop, "not allowed, not signed rightly, or no such cluster"),
];

/// The verdict on an answer. A status that no rule knows says nothing, so that the request is repeated.
#[must_use]
pub fn verdict(scope: Scope, status: u16, act: Option<Act>) -> Verdict {
    let fits = |rule: &&Rule| {
        rule.scope == scope
            && (rule.statuses.0..=rule.statuses.1).contains(&status)
            && (rule.actions.is_empty() || act.is_some_and(|act| rule.actions.contains(&act)))
    };
    RULES.iter().find(fits).map_or(Verdict::RetryUnknown, |rule| rule.verdict)
}

/// What to do about a request that is refused as a whole.
#[must_use]
pub const fn advice(status: u16) -> &'static str {
    match status {
        400 => {
            "no request has been understood yet: check that the URL is that of an OpenSearch cluster, its path \
             included, and try TRIPLINE_OPENSEARCH_GZIP=false"
        }
        401 => "check user and password, or sign requests if the cluster wants that",
        403 => {
            "check region and service of the signature, the clock, the role's rights (es:ESHttpPost, or \
             aoss:APIAccessAll and a data access policy) and the domain's access policy"
        }
        404 | 405 => "check the URL, its path included: there is no bulk interface",
        _ => "check the URL and what stands before the cluster",
    }
}

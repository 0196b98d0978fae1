//! Where the cluster is and how it is treated.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;

/// No request's body is longer than this before compression: what the smaller instances of Amazon
/// OpenSearch Service take, and Serverless.
pub const MAX_BODY_BYTES: usize = 10 << 20;

/// How to reach a search cluster, and what to ask of it at once.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// URLs of its nodes, `https://host[:port][/path]`. Requests go round among them, leaving out those
    /// that did not answer.
    pub hosts: Vec<String>,
    /// How requests prove who sends them.
    pub auth: Auth,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Takes any certificate: for tests.
    pub allow_insecure: bool,
    /// Sends bodies compressed.
    pub gzip: bool,
    /// Longest body, before compression.
    pub max_bytes: usize,
    /// Most documents in a request.
    pub max_actions: usize,
    /// Most requests under way at once. Fewer are while the cluster is busy.
    pub max_in_flight: usize,
    /// After which a request is given up.
    pub request_timeout: Duration,
    /// Within which the first retry waits; each further one doubles it.
    pub retry_window: Duration,
    /// The longest that the window grows.
    pub retry_window_max: Duration,
    /// How long a batch is tried at most, within the time that its invocation has.
    pub retry_for: Duration,
}

/// How requests prove who sends them.
#[derive(Clone, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// By name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// By AWS Signature Version 4.
    SigV4(SigV4),
}

/// What requests are signed with.
#[derive(Clone, Debug)]
pub struct SigV4 {
    /// The service that is signed for.
    pub service: Service,
    /// The region; the default chain's if there is none.
    pub region: Option<String>,
    /// Where credentials come from; the default chain if there is none.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// A service of AWS that requests are signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon OpenSearch Service domains.
    Es,
    /// Amazon OpenSearch Serverless collections.
    Aoss,
}

impl Service {
    /// Its name in signatures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::Aoss => "aoss",
        }
    }
}

impl fmt::Debug for Auth {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("None"),
            Self::Basic { user, .. } => {
                formatter.debug_struct("Basic").field("user", user).field("password", &"…").finish()
            }
            Self::SigV4(signing) => formatter.debug_tuple("SigV4").field(signing).finish(),
        }
    }
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            auth: Auth::None,
            ca_bundle: None,
            allow_insecure: false,
            gzip: true,
            max_bytes: 5 << 20,
            max_actions: 5_000,
            max_in_flight: 4,
            request_timeout: Duration::from_secs(30),
            retry_window: Duration::from_millis(100),
            retry_window_max: Duration::from_secs(10),
            retry_for: Duration::from_secs(120),
        }
    }
}

impl SearchOptions {
    /// Options for the cluster at `url`, without authentication.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { hosts: vec![url.into()], ..Self::default() }
    }

    /// What is wrong with them, hosts and certificates apart.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |sound: bool, fault: String| {
            if !sound {
                faults.push(fault);
            }
        };
        check(!self.hosts.is_empty(), "it has no host: give at least one URL".to_owned());
        check(
            (1..MAX_BODY_BYTES).contains(&self.max_bytes),
            format!("a request's body may have 1 to {} bytes, not {}", MAX_BODY_BYTES - 1, self.max_bytes),
        );
        check(self.max_actions > 0, "a request must take at least one document".to_owned());
        check(
            (1..=64).contains(&self.max_in_flight),
            format!("1 to 64 requests may be under way at once, not {}", self.max_in_flight),
        );
        check(!self.request_timeout.is_zero(), "a request needs time to be answered".to_owned());
        check(!self.retry_for.is_zero(), "a batch needs time to be delivered".to_owned());
        faults
    }

    /// Within which a retry after `tries` tries waits.
    pub(crate) fn window(&self, tries: u32) -> Duration {
        let doubled = 1_u32.checked_shl(tries.saturating_sub(1).min(20)).unwrap_or(1);
        self.retry_window.saturating_mul(doubled).min(self.retry_window_max)
    }
}

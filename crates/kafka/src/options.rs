//! Where the cluster is and how it is treated.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How to reach a Kafka cluster.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// How connections are protected and prove who makes them.
    pub security: Security,
    /// A file of PEM certificates to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Takes any certificate: for tests.
    pub allow_insecure: bool,
    /// How batches are compressed, where this end sends.
    pub compression: Compression,
    /// Longest record that is sent, in bytes; at most the topic's `max.message.bytes`.
    pub message_bytes: usize,
    /// More properties of librdkafka, such as `ssl.certificate.location`. Not those that are set here.
    pub extra: BTreeMap<String, String>,
}

/// How connections are protected and prove who makes them.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Neither; for a network that is itself protected.
    #[default]
    Plaintext,
    /// TLS; a client certificate can be named in [`KafkaOptions::extra`].
    Tls,
    /// TLS and SASL.
    SaslTls(Sasl),
    /// SASL without TLS.
    SaslPlaintext(Sasl),
}

/// How a client proves who it is.
#[derive(Clone)]
pub enum Sasl {
    /// `PLAIN`: by name and password, which go over the line as they are.
    Plain {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// `SCRAM-SHA-256`: by name and password, which stays here.
    Scram256 {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// `SCRAM-SHA-512`: as before; Amazon MSK's.
    Scram512 {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// Amazon MSK's IAM access control, with the default chain's credentials.
    MskIam {
        /// The cluster's region; told by its host names where there is none, or by the default chain.
        region: Option<String>,
        /// ARN of a role to take on first.
        role: Option<String>,
    },
    /// `OAUTHBEARER` with tokens from elsewhere.
    Token(Arc<dyn TokenSource>),
}

/// Where tokens for `OAUTHBEARER` come from.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A fresh token. Called on a thread that may wait, before the last token expires.
    ///
    /// # Errors
    /// Why there is none, in words; connections wait until a later call has one.
    fn token(&self) -> Result<Token, String>;
}

/// A token for `OAUTHBEARER`.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Whom it is for.
    pub principal: String,
    /// When it expires, in milliseconds since 1970 UTC.
    pub expires_ms: i64,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4: the least work.
    Lz4,
    /// Zstandard: the fewest bytes.
    #[default]
    Zstd,
}

impl Compression {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Sasl {
    /// The name under which clients and brokers know the mechanism.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram256 { .. } => "SCRAM-SHA-256",
            Self::Scram512 { .. } => "SCRAM-SHA-512",
            Self::MskIam { .. } | Self::Token(_) => "OAUTHBEARER",
        }
    }
}

impl fmt::Debug for Sasl {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct(self.mechanism());
        match self {
            Self::Plain { user, .. } | Self::Scram256 { user, .. } | Self::Scram512 { user, .. } => {
                shown.field("user", user).field("password", &"…")
            }
            Self::MskIam { region, role } => shown.field("region", region).field("role", role),
            Self::Token(source) => shown.field("tokens", source),
        };
        shown.finish()
    }
}

impl fmt::Debug for Token {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Token");
        shown
            .field("principal", &self.principal)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KafkaOptions {
    /// Without the values of further properties, which may be passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bootstrap_servers, security, ca, allow_insecure, compression, message_bytes, extra } =
            self;
        let mut shown = formatter.debug_struct("KafkaOptions");
        shown.field("bootstrap_servers", bootstrap_servers).field("security", security).field("ca", ca);
        shown.field("allow_insecure", allow_insecure).field("compression", compression);
        shown.field("message_bytes", message_bytes).field("extra", &extra.keys().collect::<Vec<_>>()).finish()
    }
}

/// What a topic takes by default, less what a record's frame may need.
const MESSAGE_BYTES: usize = 1_000_000;

/// Properties that are set here, for what is promised depends on them or they have an option; with what to
/// use instead.
const OURS: [(&str, &str); 27] = [
    ("acks", "a record counts once all in-sync replicas have it"),
    ("auto.offset.reset", "choose where the poller starts"),
    ("batch.num.messages", "it is chosen here"),
    ("batch.size", "it is chosen here"),
    ("bootstrap.servers", "it is an option of its own"),
    ("compression.codec", "it is an option of its own"),
    ("compression.type", "it is an option of its own"),
    ("delivery.timeout.ms", "each batch brings its time with it"),
    ("enable.auto.commit", "offsets are committed once their records are safe"),
    ("enable.auto.offset.store", "offsets are committed once their records are safe"),
    ("enable.gapless.guarantee", "a new producer takes the place of one that lost its order"),
    ("enable.idempotence", "retries must neither double nor reorder records"),
    ("enable.partition.eof", "the poller needs it"),
    ("enable.ssl.certificate.verification", "use `allow_insecure` for tests"),
    ("group.id", "it is an option of its own"),
    ("max.in.flight", "retries must not reorder records"),
    ("max.in.flight.requests.per.connection", "retries must not reorder records"),
    ("message.max.bytes", "use the option for the longest record"),
    ("message.send.max.retries", "each batch brings its time with it"),
    ("message.timeout.ms", "each batch brings its time with it"),
    ("metadata.broker.list", "it is an option of its own"),
    ("plugin.library.paths", "no code is loaded"),
    ("request.required.acks", "a record counts once all in-sync replicas have it"),
    ("retries", "each batch brings its time with it"),
    ("security.protocol", "it is an option of its own"),
    ("ssl.ca.location", "use the option for certificates"),
    ("transactional.id", "records are sent at least once"),
];

impl KafkaOptions {
    /// Options for the cluster at `bootstrap_servers`, without TLS or authentication.
    #[must_use]
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            security: Security::Plaintext,
            ca: None,
            allow_insecure: false,
            compression: Compression::default(),
            message_bytes: MESSAGE_BYTES,
            extra: BTreeMap::new(),
        }
    }

    pub(crate) const fn sasl(&self) -> Option<&Sasl> {
        match &self.security {
            Security::SaslTls(sasl) | Security::SaslPlaintext(sasl) => Some(sasl),
            Security::Plaintext | Security::Tls => None,
        }
    }

    /// Everything that is wrong with them.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let servers: Vec<&str> = self.bootstrap_servers.split(',').map(str::trim).collect();
        if !servers.iter().all(|server| is_server(server)) {
            faults.push(format!(
                "its servers are {:?}, where host:port[,host:port…] is wanted",
                self.bootstrap_servers
            ));
        }
        if !(1_000..=1_000_000_000).contains(&self.message_bytes) {
            faults.push(format!(
                "the longest record may have 1000 to 1000000000 bytes, not {}",
                self.message_bytes
            ));
        }
        if let Some(ca) = self.ca.as_ref().filter(|ca| !ca.is_file()) {
            faults.push(format!("the file of certificates, {}, is not there", ca.display()));
        }
        for name in self.extra.keys() {
            let name = name.trim();
            if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == name) {
                faults.push(format!("the property {name} cannot be set: {instead}"));
            } else if name.starts_with("sasl.") {
                faults.push(format!("the property {name} cannot be set: use the options for SASL"));
            }
        }
        if let Some(
            Sasl::Plain { user, password }
            | Sasl::Scram256 { user, password }
            | Sasl::Scram512 { user, password },
        ) = self.sasl()
            && (user.is_empty() || password.is_empty())
        {
            faults.push("SASL needs a user and a password, and one of them is empty".to_owned());
        }
        if matches!(&self.security, Security::SaslPlaintext(Sasl::MskIam { .. })) {
            faults.push("Amazon MSK takes IAM over TLS only: use SASL with TLS".to_owned());
        }
        faults
    }
}

fn is_server(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    !host.is_empty() && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok()
}

/// What is wrong with a topic's name.
pub(crate) fn topic_fault(topic: &str) -> Option<String> {
    let is_sound = (1..=249).contains(&topic.len())
        && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && topic != "."
        && topic != "..";
    (!is_sound).then(|| format!("{topic:?} is no topic's name: 1 to 249 of A-Z a-z 0-9 . _ - are wanted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut options = KafkaOptions::new("b:9096");
        options.security =
            Security::SaslTls(Sasl::Scram512 { user: "me".to_owned(), password: "hush".to_owned() });
        options.extra.insert("ssl.key.password".to_owned(), "hush".to_owned());
        let shown = format!("{options:?}");
        assert!(
            shown.contains("me") && shown.contains("ssl.key.password") && !shown.contains("hush"),
            "{shown}"
        );
        let token = Token { token: "hush".to_owned(), principal: "me".to_owned(), expires_ms: 1 };
        assert!(!format!("{token:?}").contains("hush"));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut options = KafkaOptions::new("broker");
        options.message_bytes = 1;
        options.ca = Some("/is/not/there".into());
        options.extra.insert("acks".to_owned(), "1".to_owned());
        options.extra.insert("sasl.password".to_owned(), "hush".to_owned());
        options.security = Security::SaslPlaintext(Sasl::MskIam { region: None, role: None });
        let faults = options.faults().join("; ");
        for expected in
            ["host:port", "1000 to", "/is/not/there", "acks cannot", "sasl.password cannot", "over TLS only"]
        {
            assert!(faults.contains(expected), "{expected} is not in: {faults}");
        }
        assert!(!faults.contains("hush"));
        options = KafkaOptions::new("a.example:9092, [::1]:9092");
        options.extra.insert("ssl.certificate.location".to_owned(), "client.pem".to_owned());
        assert_eq!(options.faults(), Vec::<String>::new());
    }

    #[test]
    fn names_that_no_topic_can_have_are_refused() {
        for (topic, is_sound) in
            [("trips", true), ("a.b_c-9", true), ("", false), ("..", false), ("a/b", false)]
        {
            assert_eq!(topic_fault(topic).is_none(), is_sound, "{topic}");
        }
    }
}

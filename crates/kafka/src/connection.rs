//! From options to a client of librdkafka, and what such a client has to say.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use crate::error::KafkaError;
use crate::msk::MskTokens;
use crate::options::{KafkaOptions, Sasl, Security, TokenSource};

/// What all clients of a cluster have in common.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) config: ClientConfig,
    pub(crate) who: String,
    servers: String,
    tokens: Option<Arc<dyn TokenSource>>,
}

impl fmt::Debug for Connection {
    /// Without the configuration, which holds passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Connection");
        shown.field("servers", &self.servers).field("who", &self.who).finish_non_exhaustive()
    }
}

impl Connection {
    /// # Errors
    /// [`KafkaError::Options`] with everything that is wrong with them.
    pub(crate) fn new(options: &KafkaOptions, mut faults: Vec<String>) -> Result<Self, KafkaError> {
        faults.splice(0..0, options.faults());
        if !faults.is_empty() {
            return Err(KafkaError::Options { faults });
        }
        let mut config = ClientConfig::new();
        for (name, value) in &options.extra {
            config.set(name.trim(), value);
        }
        config.set("bootstrap.servers", &options.bootstrap_servers).set("client.id", "tripline");
        // Brokers that are back are found at once, and not after ten seconds.
        config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "2000");
        config.set("socket.keepalive.enable", "true");
        // What was seen last of a broker says nothing after a freeze: connections that idle are closed here.
        config.set("connections.max.idle.ms", "240000");
        config.set_log_level(RDKafkaLogLevel::Info);
        let (protocol, is_tls) = match &options.security {
            Security::Plaintext => ("PLAINTEXT", false),
            Security::Tls => ("SSL", true),
            Security::SaslTls(_) => ("SASL_SSL", true),
            Security::SaslPlaintext(_) => ("SASL_PLAINTEXT", false),
        };
        config.set("security.protocol", protocol);
        if is_tls {
            // A vendored OpenSSL does not know where a system keeps its certificates: librdkafka looks.
            let ca = options.ca.as_ref().map_or_else(|| "probe".to_owned(), |ca| ca.display().to_string());
            config.set("ssl.ca.location", ca).set("ssl.endpoint.identification.algorithm", "https");
            if options.allow_insecure {
                tracing::warn!(
                    servers = options.bootstrap_servers,
                    "the Kafka brokers' certificates are not checked: for tests only"
                );
                config.set("enable.ssl.certificate.verification", "false");
                config.set("ssl.endpoint.identification.algorithm", "none");
            }
        }
        let (who, tokens) = authenticate(options, &mut config);
        Ok(Self { config, who, servers: options.bootstrap_servers.clone(), tokens })
    }

    /// The context of one client.
    pub(crate) fn context(&self) -> Context {
        Context { tokens: self.tokens.clone(), trouble: Mutex::default() }
    }

    /// What an error means, and what to do.
    pub(crate) fn explain(&self, code: Code, topic: &str, detail: Option<&str>) -> String {
        let Self { servers, who, .. } = self;
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        match code {
            Code::Authentication | Code::SaslAuthenticationFailed => format!(
                "the brokers at {servers} do not let {who} in{detail}: check the credentials, and on Amazon MSK \
                 that they may kafka-cluster:Connect"
            ),
            Code::SSL => format!(
                "TLS with the brokers at {servers} fails{detail}: check that the port takes TLS and that the \
                 certificates to trust are those of their authority (TRIPLINE_KAFKA_CA)"
            ),
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                format!("the topic {topic} is not there{detail}: create it, or correct its name")
            }
            Code::TopicAuthorizationFailed => format!(
                "{who} may not use the topic {topic}{detail}: allow it, on Amazon MSK by kafka-cluster:DescribeTopic \
                 and kafka-cluster:WriteData or kafka-cluster:ReadData"
            ),
            Code::GroupAuthorizationFailed => format!(
                "{who} may not use the consumer group{detail}: allow it, on Amazon MSK by \
                 kafka-cluster:DescribeGroup and kafka-cluster:AlterGroup"
            ),
            Code::ClusterAuthorizationFailed => format!(
                "{who} may not write idempotently{detail}: allow IdempotentWrite on the cluster, on Amazon MSK by \
                 kafka-cluster:WriteDataIdempotently"
            ),
            Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => format!(
                "the topic {topic} has fewer in-sync replicas than its min.insync.replicas{detail}: wait for its \
                 brokers"
            ),
            Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => format!(
                "none of the brokers at {servers} answers{detail}: check their addresses, the security groups in \
                 between and that they take this kind of connection"
            ),
            other => format!("{other}{detail}, at {servers}"),
        }
    }
}

fn authenticate(options: &KafkaOptions, config: &mut ClientConfig) -> (String, Option<Arc<dyn TokenSource>>) {
    let Some(sasl) = options.sasl() else { return ("this client".to_owned(), None) };
    config.set("sasl.mechanism", sasl.mechanism());
    match sasl {
        Sasl::Plain { user, password }
        | Sasl::Scram256 { user, password }
        | Sasl::Scram512 { user, password } => {
            config.set("sasl.username", user).set("sasl.password", password);
            (format!("the user {user}"), None)
        }
        Sasl::MskIam { region, role } => {
            let region = region.clone().or_else(|| region_of(&options.bootstrap_servers));
            let who = role
                .as_ref()
                .map_or_else(|| "the function's role".to_owned(), |role| format!("the role {role}"));
            (who, Some(Arc::new(MskTokens::new(region, role.clone()))))
        }
        Sasl::Token(source) => ("the token's principal".to_owned(), Some(Arc::clone(source))),
    }
}

/// The region in an MSK broker's name: `b-1.trips.x.c2.kafka.eu-west-1.amazonaws.com:9098`.
fn region_of(servers: &str) -> Option<String> {
    let labels: Vec<&str> = servers.split([',', ':']).next()?.trim().split('.').collect();
    let kafka = labels.iter().position(|label| ["kafka", "kafka-serverless"].contains(label))?;
    (*labels.get(kafka + 2)? == "amazonaws")
        .then(|| labels.get(kafka + 1).map(|&region| region.to_owned()))?
}

/// Says why a client could not be made, without values, which may be secret.
pub(crate) fn cannot_make(error: &ClientError) -> KafkaError {
    KafkaError::fault(match error {
        ClientError::ClientConfig(_, _, name, _) => {
            format!("librdkafka does not take the property {name}: correct its name or value")
        }
        other => format!("librdkafka: {other}"),
    })
}

/// What went wrong last, for all of a client's connections.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) code: Code,
    pub(crate) detail: String,
    /// When it was first heard since anything worked.
    pub(crate) since: Instant,
}

impl Trouble {
    /// Whether waiting is no use: somebody has to change something.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self.code, Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)
    }
}

/// Hears what a client says outside of any call.
pub(crate) struct Context {
    tokens: Option<Arc<dyn TokenSource>>,
    trouble: Mutex<Option<Trouble>>,
}

impl Context {
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something works: what was wrong is over.
    pub(crate) fn works(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn note(&self, code: Code, detail: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from what is wrong with each, and says less.
        if trouble.as_ref().is_some_and(|last| last.is_refusal() && code == Code::AllBrokersDown) {
            return;
        }
        let since =
            trouble.as_ref().filter(|last| last.code == code).map_or_else(Instant::now, |last| last.since);
        *trouble = Some(Trouble { code, detail: detail.to_owned(), since });
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                // Most of these go away by retrying; what does not is said where it matters.
                tracing::warn!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, message, "librdkafka")
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, message, "librdkafka")
            }
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        if let Some(code) = error.rdkafka_error_code()
            && code != Code::PartitionEOF
        {
            self.note(code, reason);
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let source = self.tokens.as_ref().ok_or("there is nothing that makes tokens")?;
        match source.token() {
            Ok(token) => Ok(OAuthToken {
                token: token.token,
                principal_name: token.principal,
                lifetime_ms: token.expires_ms,
            }),
            Err(error) => {
                let error = error.replace('\0', "");
                tracing::warn!(error, "there is no token for Kafka; it is tried again");
                self.note(Code::Authentication, &error);
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_by_the_names_of_msk_brokers_alone() {
        for (servers, region) in [
            ("b-1.trips.x.c2.kafka.eu-west-1.amazonaws.com:9098,b-2.x:9098", Some("eu-west-1")),
            ("boot-x.c1.kafka-serverless.us-east-1.amazonaws.com:9098", Some("us-east-1")),
            ("b-1.trips.x.kafka.cn-north-1.amazonaws.com.cn:9098", Some("cn-north-1")),
            ("kafka.example.com:9098", None),
            ("localhost:9098", None),
        ] {
            assert_eq!(region_of(servers).as_deref(), region, "{servers}");
        }
    }
}

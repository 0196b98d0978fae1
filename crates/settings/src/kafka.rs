//! How to reach the Kafka topic that events go on into.

use crate::{Reader, Variable, variable};

/// Variables of the Kafka sink.
pub(crate) const VARIABLES: [Variable; 11] = [
    variable(
        "TRIPLINE_KAFKA_BROKERS",
        "none",
        "the Kafka cluster that events go on into: `host:port`, or several with commas between. Needs a build with the \
         feature `kafka`",
    ),
    variable("TRIPLINE_KAFKA_TOPIC", "none", "the topic that events go on into"),
    variable(
        "TRIPLINE_KAFKA_SECURITY",
        "`msk-iam` for hosts of AWS at port 9098, `scram-sha-512` with a user, else `plaintext`",
        "`plaintext`, `tls`, or TLS and who sends: `scram-sha-512`, `scram-sha-256`, `plain`, `msk-iam`",
    ),
    variable("TRIPLINE_KAFKA_USER", "none", "user, for SASL/SCRAM and PLAIN"),
    variable("TRIPLINE_KAFKA_PASSWORD", "none", "password, for SASL/SCRAM and PLAIN"),
    variable(
        "TRIPLINE_KAFKA_REGION",
        "by the host names, else the function's",
        "the cluster's region, for `msk-iam`",
    ),
    variable(
        "TRIPLINE_KAFKA_CA",
        "the system's",
        "file of PEM certificates to trust instead of the system's",
    ),
    variable("TRIPLINE_KAFKA_ALLOW_INSECURE", "`false`", "`true` takes any certificate, for tests"),
    variable("TRIPLINE_KAFKA_COMPRESSION", "`zstd`", "`zstd`, `lz4` or `none`"),
    variable(
        "TRIPLINE_KAFKA_MESSAGE_BYTES",
        "`1000000`",
        "longest record, as the topic's `max.message.bytes` allows; longer ones are dead letters",
    ),
    variable(
        "TRIPLINE_KAFKA_PROPERTIES",
        "none",
        "further properties of librdkafka, as in `client.id=trips,linger.ms=20`",
    ),
];

/// A topic and how to reach its cluster.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug)]
pub struct KafkaTarget {
    /// The cluster.
    pub options: tripline_kafka::KafkaOptions,
    /// The topic.
    pub topic: String,
}

/// A build that cannot reach Kafka.
#[cfg(not(feature = "kafka"))]
#[derive(Clone, Debug)]
pub enum KafkaTarget {}

#[cfg(not(feature = "kafka"))]
impl Reader {
    /// `None`, with a fault where there is to be a Kafka sink.
    pub(crate) fn kafka(&mut self) -> Option<KafkaTarget> {
        if self.first(&["TRIPLINE_KAFKA_BROKERS", "OutputKafkaBootstrapServers"]).is_some() {
            self.faults.push(
                "TRIPLINE_KAFKA_BROKERS is set, but this build cannot reach Kafka: build with --features kafka".to_owned(),
            );
        }
        None
    }
}

/// How to reach a cluster, as the variables say, given as pairs; those that do not say so are passed over.
///
/// # Errors
/// [`SettingsError`](crate::SettingsError) with every fault.
#[cfg(feature = "kafka")]
pub fn kafka_cluster(
    brokers: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<tripline_kafka::KafkaOptions, crate::SettingsError> {
    let mut reader = Reader::new(variables);
    let options = reader.kafka_cluster(brokers.to_owned());
    reader.finish(options)
}

#[cfg(feature = "kafka")]
mod read {
    use tripline_kafka::{Compression, KafkaOptions, Sasl, Security};

    use super::KafkaTarget;
    use crate::Reader;
    use crate::parse::parse_flag;

    impl Reader {
        /// The Kafka sink; `None` where there is no cluster.
        pub(crate) fn kafka(&mut self) -> Option<KafkaTarget> {
            let brokers = self.first(&["TRIPLINE_KAFKA_BROKERS", "OutputKafkaBootstrapServers"])?;
            let topic = self.first(&["TRIPLINE_KAFKA_TOPIC", "OutputKafkaTopic"]);
            if topic.is_none() {
                self.faults.push(
                    "TRIPLINE_KAFKA_BROKERS is set, but TRIPLINE_KAFKA_TOPIC does not say which topic events go on into"
                        .to_owned(),
                );
            }
            Some(KafkaTarget { options: self.kafka_cluster(brokers), topic: topic.unwrap_or_default() })
        }

        /// A cluster, reached as the variables say.
        pub(crate) fn kafka_cluster(&mut self, brokers: String) -> KafkaOptions {
            let mut options = KafkaOptions::new(brokers);
            options.security = self.kafka_security(&options.bootstrap_servers);
            options.ca = self.get("TRIPLINE_KAFKA_CA").map(Into::into);
            options.allow_insecure = self.value("TRIPLINE_KAFKA_ALLOW_INSECURE", false, parse_flag);
            options.compression =
                self.value("TRIPLINE_KAFKA_COMPRESSION", options.compression, |text| match text {
                    "zstd" => Ok(Compression::Zstd),
                    "lz4" => Ok(Compression::Lz4),
                    "none" => Ok(Compression::None),
                    _ => Err("`zstd`, `lz4` or `none`"),
                });
            options.message_bytes = self.size("TRIPLINE_KAFKA_MESSAGE_BYTES", options.message_bytes);
            let properties = self.get("TRIPLINE_KAFKA_PROPERTIES").unwrap_or_default();
            for property in properties.split(',').filter(|property| !property.trim().is_empty()) {
                match property.split_once('=') {
                    Some((name, value)) => {
                        options.extra.insert(name.trim().to_owned(), value.trim().to_owned());
                    }
                    // Not the property itself, which may be a part of a password.
                    None => self.faults.push(
                        "TRIPLINE_KAFKA_PROPERTIES has a part without `=`: write name=value,name=value"
                            .to_owned(),
                    ),
                }
            }
            options
        }

        fn kafka_security(&mut self, brokers: &str) -> Security {
            let user = self.get("TRIPLINE_KAFKA_USER");
            let of_iam =
                |broker: &str| broker.contains(".amazonaws.com") && broker.trim_end().ends_with(":9098");
            let default = match &user {
                Some(_) => "scram-sha-512",
                None if brokers.split(',').all(of_iam) => "msk-iam",
                None => "plaintext",
            };
            let chosen = self.get("TRIPLINE_KAFKA_SECURITY").unwrap_or_else(|| default.to_owned());
            let (user, password) =
                (user.unwrap_or_default(), self.get("TRIPLINE_KAFKA_PASSWORD").unwrap_or_default());
            Security::SaslTls(match chosen.as_str() {
                "plaintext" => return Security::Plaintext,
                "tls" => return Security::Tls,
                "scram-sha-512" => Sasl::Scram512 { user, password },
                "scram-sha-256" => Sasl::Scram256 { user, password },
                "plain" => Sasl::Plain { user, password },
                "msk-iam" => Sasl::MskIam { region: self.get("TRIPLINE_KAFKA_REGION"), role: None },
                other => {
                    self.faults.push(format!(
                        "TRIPLINE_KAFKA_SECURITY is {other:?} where `plaintext`, `tls`, `scram-sha-512`, `scram-sha-256`, \
                         `plain` or `msk-iam` is wanted"
                    ));
                    return Security::Plaintext;
                }
            })
        }
    }
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tripline_kafka::{Sasl, Security};

    use super::*;

    fn read(more: &[(&str, &str)]) -> (Option<KafkaTarget>, Vec<String>) {
        let pairs = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut reader = Reader::new(pairs);
        (reader.kafka(), reader.faults)
    }

    fn security(more: &[(&str, &str)]) -> String {
        let topic = ("TRIPLINE_KAFKA_TOPIC", "out");
        let variables: Vec<_> = more.iter().copied().chain([topic]).collect();
        let (target, faults) = read(&variables);
        assert_eq!(faults, Vec::<String>::new());
        match target.unwrap().options.security {
            Security::SaslTls(Sasl::MskIam { .. }) => "msk-iam".to_owned(),
            Security::SaslTls(sasl) => sasl.mechanism().to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn how_the_cluster_is_reached_follows_from_its_hosts_and_the_user_unless_it_is_said() {
        let brokers = |brokers| ("TRIPLINE_KAFKA_BROKERS", brokers);
        let msk = "b-1.trips.x.c2.kafka.eu-west-1.amazonaws.com:9098";
        assert_eq!(security(&[brokers("b:9092")]), "Plaintext");
        assert_eq!(security(&[brokers(msk)]), "msk-iam");
        let user = [("TRIPLINE_KAFKA_USER", "me"), ("TRIPLINE_KAFKA_PASSWORD", "hush")];
        assert_eq!(security(&[brokers("b:9096"), user[0], user[1]]), "SCRAM-SHA-512");
        assert_eq!(security(&[brokers(msk), ("TRIPLINE_KAFKA_SECURITY", "tls")]), "Tls");
    }

    #[test]
    fn names_of_the_reference_application_are_understood() {
        let (target, _) = read(&[("OutputKafkaBootstrapServers", "b:9092"), ("OutputKafkaTopic", "out")]);
        let target = target.unwrap();
        assert_eq!((target.options.bootstrap_servers.as_str(), target.topic.as_str()), ("b:9092", "out"));
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        let (_, faults) = read(&[
            ("TRIPLINE_KAFKA_BROKERS", "b:9092"),
            ("TRIPLINE_KAFKA_SECURITY", "kerberos"),
            ("TRIPLINE_KAFKA_PROPERTIES", "client.id=a,hush"),
        ]);
        let told = faults.join("; ");
        for part in ["TRIPLINE_KAFKA_TOPIC", "kerberos", "without `=`"] {
            assert!(told.contains(part), "{part} is not in: {told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }
}

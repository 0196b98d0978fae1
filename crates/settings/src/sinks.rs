//! Which sinks there are.

use std::collections::BTreeSet;

use tripline_kinesis::KinesisOptions;
use tripline_lake::Role;
use tripline_search::SearchOptions;

use crate::parse::parse_flag;
use crate::{KafkaTarget, Reader, SettingsError, Variable, variable};

/// Variables that choose among the sinks.
pub(crate) const VARIABLES: [Variable; 2] = [
    variable(
        "TRIPLINE_SINKS",
        "`lake`, and every other that is set up",
        "what `ingest` feeds: any of `lake`, `search`, `kinesis` and `kafka`, with commas between. Without `lake`, dead \
         letters are kept in the lake's journal all the same",
    ),
    variable(
        "TRIPLINE_LAKE_ELSEWHERE",
        "`false`",
        "`true` where `TRIPLINE_SINKS` leaves out `lake` and another function feeds it from the same source: that one \
         keeps the records that are no events",
    ),
];

/// Which sinks there are and how to reach them.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Those that are fed.
    pub names: BTreeSet<Role>,
    /// The lake is not among them, and another function feeds it from the same source.
    pub lake_elsewhere: bool,
    /// How to reach the search cluster, where there is one.
    pub search: Option<SearchOptions>,
    /// How to reach the Kinesis stream that events go on into, where there is one.
    pub kinesis: Option<KinesisOptions>,
    /// The Kafka topic that events go on into, where there is one.
    pub kafka: Option<KafkaTarget>,
}

impl SinkSettings {
    /// Reads the sinks' variables, given as pairs; others are passed over.
    ///
    /// # Errors
    /// [`SettingsError`] with every fault.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(variables);
        let settings = Self::read(&mut reader);
        reader.finish(settings)
    }

    /// Bootstrap servers and topic of the Kafka sink, where there is one.
    #[must_use]
    pub fn kafka_topic(&self) -> Option<(&str, &str)> {
        #[cfg(feature = "kafka")]
        return self.kafka.as_ref().map(|kafka| (&*kafka.options.bootstrap_servers, &*kafka.topic));
        #[cfg(not(feature = "kafka"))]
        None
    }

    pub(crate) fn read(reader: &mut Reader) -> Self {
        let (search, kinesis, kafka) = (reader.search(), reader.kinesis(), reader.kafka());
        let set_up = [
            (Role::Lake, true),
            (Role::Search, search.is_some()),
            (Role::Kinesis, kinesis.is_some()),
            (Role::Kafka, kafka.is_some()),
        ];
        let set_up: BTreeSet<Role> = set_up.into_iter().filter_map(|(role, is)| is.then_some(role)).collect();
        let names = reader.sinks(&set_up);
        Self { lake_elsewhere: reader.lake_elsewhere(&names), names, search, kinesis, kafka }
    }
}

/// The variable without which there is no such sink.
const fn needed(role: Role) -> &'static str {
    match role {
        Role::Lake => "TRIPLINE_LAKE",
        Role::Search => "TRIPLINE_OPENSEARCH_URL",
        Role::Kinesis => "TRIPLINE_KINESIS_STREAM",
        Role::Kafka => "TRIPLINE_KAFKA_BROKERS",
    }
}

impl Reader {
    fn sinks(&mut self, set_up: &BTreeSet<Role>) -> BTreeSet<Role> {
        let names = self.value("TRIPLINE_SINKS", set_up.clone(), |text| {
            let role = |name: &str| Role::ALL.into_iter().find(|role| role.to_string() == name.trim());
            text.split(',')
                .map(role)
                .collect::<Option<_>>()
                .ok_or("any of `lake`, `search`, `kinesis` and `kafka`, with commas between,")
        });
        for role in names.difference(set_up) {
            self.faults.push(format!("TRIPLINE_SINKS has `{role}`, but {} is not set", needed(*role)));
        }
        names
    }

    fn lake_elsewhere(&mut self, names: &BTreeSet<Role>) -> bool {
        let lake_elsewhere = self.value("TRIPLINE_LAKE_ELSEWHERE", false, parse_flag);
        if lake_elsewhere && names.contains(&Role::Lake) {
            self.faults.push(
                "TRIPLINE_LAKE_ELSEWHERE is true, but this function feeds the lake itself: leave it out, or leave `lake` \
                 out of TRIPLINE_SINKS"
                    .to_owned(),
            );
        }
        lake_elsewhere
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Settings;

    fn read(more: &[(&str, &str)]) -> Result<SinkSettings, SettingsError> {
        let needed = [("TRIPLINE_PIPELINE", "p"), ("TRIPLINE_LAKE", "/lake")];
        let variables = needed.iter().chain(more);
        let pairs = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_variables(pairs).map(|settings| settings.sinks)
    }

    fn names(more: &[(&str, &str)]) -> Vec<Role> {
        read(more).unwrap().names.into_iter().collect()
    }

    const URL: (&str, &str) = ("TRIPLINE_OPENSEARCH_URL", "http://127.0.0.1:9200");

    #[test]
    fn the_lake_and_whatever_else_is_set_up_are_fed_unless_it_is_chosen() {
        assert_eq!(names(&[]), [Role::Lake]);
        assert_eq!(names(&[URL]), [Role::Lake, Role::Search]);
        assert_eq!(names(&[URL, ("TRIPLINE_SINKS", "lake")]), [Role::Lake]);
        let stream = ("TRIPLINE_KINESIS_STREAM", "out");
        assert_eq!(names(&[stream]), [Role::Lake, Role::Kinesis]);
        assert_eq!(names(&[URL, stream, ("TRIPLINE_SINKS", "kinesis")]), [Role::Kinesis]);
        assert_eq!(names(&[URL, ("TRIPLINE_SINKS", " search, lake")]), [Role::Lake, Role::Search]);
        let alone = read(&[URL, ("TRIPLINE_SINKS", "search"), ("TRIPLINE_LAKE_ELSEWHERE", "true")]).unwrap();
        assert_eq!((alone.names, alone.lake_elsewhere), ([Role::Search].into(), true));
    }

    #[test]
    fn sinks_that_cannot_be_are_refused() {
        for (more, expected) in [
            (("TRIPLINE_SINKS", "search"), "TRIPLINE_OPENSEARCH_URL is not set"),
            (("TRIPLINE_SINKS", "lakes"), "with commas between"),
            (("TRIPLINE_LAKE_ELSEWHERE", "true"), "feeds the lake itself"),
        ] {
            let error = read(&[more]).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
    }
}

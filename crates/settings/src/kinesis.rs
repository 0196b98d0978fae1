//! How to reach the Kinesis stream that events go on into.

use tripline_kinesis::KinesisOptions;

use crate::parse::parse_duration;
use crate::{Reader, Variable, variable};

/// Variables of the Kinesis sink.
pub(crate) const VARIABLES: [Variable; 7] = [
    variable("TRIPLINE_KINESIS_STREAM", "none", "the Kinesis stream that events go on into: its name or ARN"),
    variable("TRIPLINE_KINESIS_REGION", "the ARN's, else the function's", "the stream's region"),
    variable(
        "TRIPLINE_KINESIS_ENDPOINT",
        "AWS's",
        "URL of a Kinesis-compatible server, or of a VPC endpoint",
    ),
    variable(
        "TRIPLINE_KINESIS_SOURCE_FIELD",
        "`tripline_source`",
        "the field that is added to each event and tells where it comes from, so that readers can drop what comes twice; \
         `none` adds none",
    ),
    variable(
        "TRIPLINE_KINESIS_RECORD_BYTES",
        "`1MiB`",
        "longest record, as the stream's MaxRecordSizeInKiB allows, up to `10MiB`; longer ones are dead letters",
    ),
    variable(
        "TRIPLINE_KINESIS_IN_FLIGHT",
        "`4`",
        "most requests at once; fewer while the stream throttles. With `1`, what is not retried stays in order",
    ),
    variable("TRIPLINE_KINESIS_TIMEOUT", "`10s`", "after which a request is given up and tried again"),
];

impl Reader {
    /// Options of the Kinesis sink; `None` where there is no stream.
    pub(crate) fn kinesis(&mut self) -> Option<KinesisOptions> {
        let stream = self.first(&["TRIPLINE_KINESIS_STREAM", "OutputKinesisStream"])?;
        let defaults = KinesisOptions::new(stream);
        Some(KinesisOptions {
            region: self.first(&["TRIPLINE_KINESIS_REGION", "OutputStreamRegion"]),
            endpoint: self.get("TRIPLINE_KINESIS_ENDPOINT"),
            source_member: match self.get("TRIPLINE_KINESIS_SOURCE_FIELD") {
                Some(name) if name == "none" => None,
                Some(name) => Some(name),
                None => defaults.source_member.clone(),
            },
            max_record_bytes: self.size("TRIPLINE_KINESIS_RECORD_BYTES", defaults.max_record_bytes),
            max_in_flight: self.count(&["TRIPLINE_KINESIS_IN_FLIGHT"], defaults.max_in_flight),
            request_timeout: self.value("TRIPLINE_KINESIS_TIMEOUT", defaults.request_timeout, parse_duration),
            ..defaults
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Option<KinesisOptions> {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut reader = Reader::new(pairs);
        let options = reader.kinesis();
        assert_eq!(reader.faults, Vec::<String>::new());
        options
    }

    #[test]
    fn names_of_the_reference_application_are_understood() {
        assert!(read(&[("OutputStreamRegion", "eu-west-1")]).is_none());
        let options = read(&[("OutputKinesisStream", "out"), ("OutputStreamRegion", "eu-west-1")]).unwrap();
        assert_eq!((options.stream.as_str(), options.region.as_deref()), ("out", Some("eu-west-1")));
        let own = [("OutputKinesisStream", "out"), ("TRIPLINE_KINESIS_STREAM", "own")];
        assert_eq!(read(&own).unwrap().stream, "own");
    }

    #[test]
    fn the_field_that_tells_the_source_can_be_named_and_left_out() {
        let field = |value: Option<&'static str>| {
            let chosen = value.map(|value| ("TRIPLINE_KINESIS_SOURCE_FIELD", value));
            let variables: Vec<_> = [("TRIPLINE_KINESIS_STREAM", "out")].into_iter().chain(chosen).collect();
            read(&variables).unwrap().source_member
        };
        assert_eq!(field(None).as_deref(), Some("tripline_source"));
        assert_eq!(field(Some("from")).as_deref(), Some("from"));
        assert_eq!(field(Some("none")), None);
    }
}

//! What differs per deployment: read from environment variables, once, checked as a whole.
//!
//! [`variables`] is the one list of names; the README's table is compared with it by a test.

mod deadline;
mod error;
mod kafka;
mod kinesis;
mod logs;
mod parse;
mod search;
mod sinks;
mod start;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

pub use deadline::deadline_ms;
pub use error::SettingsError;
pub use kafka::KafkaTarget;
#[cfg(feature = "kafka")]
pub use kafka::kafka_cluster;
pub use logs::{log_filter, start_logs};
pub use parse::parse_duration;
use parse::{parse_bytes, parse_flag};
pub use sinks::SinkSettings;
pub use start::{StartError, connect_search, open_lake, search_environment};
use tripline_lake::publish::{FileFormat, PublishOptions};
use tripline_lake::redrive::AGAIN;
use tripline_lake::store::StoreOptions;
use tripline_metrics::Metrics;

/// An environment variable that Tripline reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Value when it is not set, as documentation says it.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

const fn variable(name: &'static str, default: &'static str, about: &'static str) -> Variable {
    Variable { name, default, about }
}

/// Every variable of Tripline's own, in the order in which documentation lists them.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    let sinks = sinks::VARIABLES.iter().chain(&search::VARIABLES);
    VARIABLES.iter().chain(sinks).chain(&kinesis::VARIABLES).chain(&kafka::VARIABLES)
}

const VARIABLES: [Variable; 13] = [
    variable("TRIPLINE_PIPELINE", "`pipeline` in the function's package", "folder of the pipeline file"),
    variable(
        "TRIPLINE_LAKE",
        "none: required",
        "where the lake is: `s3://bucket/prefix`, `file:///folder` or a folder",
    ),
    variable("TRIPLINE_FILE_FORMAT", "the pipeline's", "`parquet` or `json` (gzip JSON lines)"),
    variable(
        "TRIPLINE_SOURCE_EPOCH",
        "empty",
        "change it when a stream or topic is made anew under its old name",
    ),
    variable(
        "TRIPLINE_PARTIAL_RESPONSES",
        "`false`",
        "`true` where the event source mapping has ReportBatchItemFailures; otherwise a partial failure fails the batch",
    ),
    variable(
        "TRIPLINE_CHECK_MAPPING",
        "`false`",
        "`true`: `ingest` looks at its own event source mappings and refuses to work under settings that would lose \
         records; needs `lambda:ListEventSourceMappings` and a way to Lambda's API",
    ),
    variable(
        "TRIPLINE_JOURNAL_RETENTION",
        "`7d`",
        "how long published journal entries are kept; at least `1h`",
    ),
    variable(
        "TRIPLINE_PUBLISH_BYTES",
        "`128MiB`",
        "a commit of publish stops reading at this many bytes of unpacked rows",
    ),
    variable(
        "TRIPLINE_PUBLISH_FILES",
        "`1000`",
        "a commit of publish stops reading once it has rows for this many files",
    ),
    variable("TRIPLINE_S3_ENDPOINT", "AWS's", "URL of an S3-compatible server"),
    variable(
        "TRIPLINE_S3_PATH_STYLE",
        "`true` with an endpoint",
        "`true`: the bucket goes into the path, not the host name",
    ),
    variable(
        "TRIPLINE_METRICS",
        "`emf` on Lambda",
        "`emf`: metrics for CloudWatch, as documents of its embedded metric format in the log; `off`: none",
    ),
    variable("TRIPLINE_LOG", "`info`", "log filter, as in `info,tripline_lake=debug`"),
];

/// Names that users of the reference Flink application know, taken where the own name is not set.
pub const ALIASES: &[(&str, &str)] = &[
    ("OutputBucket", "TRIPLINE_LAKE"),
    ("OutputPrefix", "TRIPLINE_LAKE"),
    ("ParquetConversion", "TRIPLINE_FILE_FORMAT"),
    ("OutputElasticsearchEndpoint", "TRIPLINE_OPENSEARCH_URL"),
    ("ElasticsearchRegion", "TRIPLINE_OPENSEARCH_REGION"),
    ("ElasticsearchBulkFlushMaxSizeMb", "TRIPLINE_OPENSEARCH_BULK_BYTES"),
    ("ElasticsearchBulkFlushMaxActions", "TRIPLINE_OPENSEARCH_BULK_ACTIONS"),
    ("OutputKinesisStream", "TRIPLINE_KINESIS_STREAM"),
    ("OutputStreamRegion", "TRIPLINE_KINESIS_REGION"),
    ("OutputKafkaBootstrapServers", "TRIPLINE_KAFKA_BROKERS"),
    ("OutputKafkaTopic", "TRIPLINE_KAFKA_TOPIC"),
];

/// The process's variables; those that are no UTF-8 are none of ours.
pub fn environment_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The settings of a deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the pipeline file.
    pub pipeline: PathBuf,
    /// URL of the lake.
    pub lake: String,
    /// How to reach the store.
    pub store: StoreOptions,
    /// File format, where it overrides the pipeline's.
    pub format: Option<FileFormat>,
    /// Epoch of all sources.
    pub source_epoch: String,
    /// The event source mapping honours partial responses.
    pub partial_responses: bool,
    /// Which sinks the function feeds, and how.
    pub sinks: SinkSettings,
    /// Name of the function, where it is to look at its own event source mappings before anything is
    /// written.
    pub own_function: Option<String>,
    /// Name of the function by which its metrics are told, where they are.
    pub metrics_function: Option<String>,
    /// Retention of published entries.
    pub retention: Duration,
    /// Bound of a commit, bytes of unpacked rows.
    pub publish_bytes: u64,
    /// Bound of a commit, files.
    pub publish_files: usize,
    /// Processors that the process has to itself.
    pub cores: usize,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`SettingsError`] with every fault.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::from_variables(environment_variables())
    }

    /// Reads variables given as pairs.
    ///
    /// # Errors
    /// [`SettingsError`] with every fault.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(variables);
        reader.refuse_unknown();
        let settings = Self {
            pipeline: reader.pipeline(),
            lake: reader.lake(),
            store: reader.store(),
            format: reader.format(),
            source_epoch: reader.source_epoch(),
            partial_responses: reader.value("TRIPLINE_PARTIAL_RESPONSES", false, parse_flag),
            sinks: SinkSettings::read(&mut reader),
            own_function: reader.own_function(),
            metrics_function: reader.metrics_function(),
            retention: reader.value(
                "TRIPLINE_JOURNAL_RETENTION",
                PublishOptions::default().retention,
                parse_duration,
            ),
            publish_bytes: reader.value(
                "TRIPLINE_PUBLISH_BYTES",
                PublishOptions::default().max_raw_bytes,
                parse_bytes,
            ),
            publish_files: reader.value(
                "TRIPLINE_PUBLISH_FILES",
                PublishOptions::default().max_files,
                |text| text.parse().ok().filter(|&files| files > 0).ok_or("a positive whole number"),
            ),
            cores: reader.cores(),
        };
        if let Err(fault) = settings.publish_options(FileFormat::Parquet).check() {
            reader.faults.push(fault);
        }
        reader.finish(settings)
    }

    /// Options of the publisher, with the pipeline's own file format where the environment has none.
    #[must_use]
    pub fn publish_options(&self, of_pipeline: FileFormat) -> PublishOptions {
        PublishOptions {
            format: self.format.unwrap_or(of_pipeline),
            max_raw_bytes: self.publish_bytes,
            max_files: self.publish_files,
            retention: self.retention,
            encodes_at_once: self.cores,
            ..PublishOptions::default()
        }
    }
}

impl Settings {
    /// Where the function's metrics go: to standard output, which Lambda hands to CloudWatch, or nowhere.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let function = self.metrics_function.as_deref();
        function.map_or_else(Metrics::default, |function| Metrics::of(function, std::io::stdout()))
    }
}

/// Memory with which a function has a processor to itself, in MB: Lambda hands out both in proportion, and shows
/// two processors where there is less than one (AWS Lambda: "Configure Lambda function memory").
const MEMORY_PER_CORE_MB: usize = 1_769;

struct Reader {
    variables: BTreeMap<String, String>,
    faults: Vec<String>,
}

impl Reader {
    fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: variables.into_iter().collect(), faults: Vec::new() }
    }

    /// What was read, or all that is wrong with it.
    fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.faults.is_empty() { Ok(settings) } else { Err(SettingsError { faults: self.faults }) }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Processors that the process has to itself, one at least.
    fn cores(&self) -> usize {
        let memory_mb =
            self.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|text| text.parse::<usize>().ok());
        let seen = || std::thread::available_parallelism().map_or(1, NonZero::get);
        memory_mb.map_or_else(seen, |memory_mb| memory_mb / MEMORY_PER_CORE_MB).max(1)
    }

    /// The first of these variables that is set.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    fn value<T>(&mut self, name: &str, default: T, parse: impl Fn(&str) -> Result<T, &'static str>) -> T {
        let Some(text) = self.get(name) else { return default };
        parse(&text).unwrap_or_else(|wanted| {
            self.faults.push(format!("{name} is {text:?} where {wanted} is wanted"));
            default
        })
    }

    /// Bytes of memory.
    fn size(&mut self, name: &str, default: usize) -> usize {
        self.value(name, default, |text| {
            parse_bytes(text).and_then(|bytes| usize::try_from(bytes).map_err(|_| "fewer bytes"))
        })
    }

    /// A misspelt name would be a setting silently not made.
    fn refuse_unknown(&mut self) {
        for name in self.variables.keys().filter(|name| name.starts_with("TRIPLINE_")) {
            if !variables().any(|known| known.name == name) {
                self.faults.push(format!("{name} is no variable of Tripline's"));
            }
        }
    }

    fn pipeline(&mut self) -> PathBuf {
        if let Some(path) = self.get("TRIPLINE_PIPELINE") {
            return path.into();
        }
        if let Some(package) = self.get("LAMBDA_TASK_ROOT") {
            return PathBuf::from(package).join("pipeline");
        }
        self.faults.push("TRIPLINE_PIPELINE is not set: name the folder that holds pipeline.toml".to_owned());
        PathBuf::new()
    }

    fn lake(&mut self) -> String {
        if let Some(url) = self.get("TRIPLINE_LAKE") {
            return url;
        }
        let Some(bucket) = self.get("OutputBucket") else {
            self.faults.push(
                "TRIPLINE_LAKE is not set: say where the lake is, as in s3://bucket/prefix or file:///folder"
                    .to_owned(),
            );
            return String::new();
        };
        let bucket = if bucket.contains("://") { bucket } else { format!("s3://{bucket}") };
        let prefix = self.get("OutputPrefix").unwrap_or_default();
        format!("{}/{}", bucket.trim_end_matches('/'), prefix.trim_matches('/'))
    }

    fn store(&mut self) -> StoreOptions {
        StoreOptions::from_lookup(|name| self.variables.get(name).cloned()).unwrap_or_else(|error| {
            self.faults.push(error.to_string());
            StoreOptions::default()
        })
    }

    fn source_epoch(&mut self) -> String {
        self.value("TRIPLINE_SOURCE_EPOCH", String::new(), |text| {
            if text.contains(AGAIN) {
                Err("an epoch without `~`, which redrives add to it")
            } else {
                Ok(text.to_owned())
            }
        })
    }

    fn own_function(&mut self) -> Option<String> {
        if !self.value("TRIPLINE_CHECK_MAPPING", false, parse_flag) {
            return None;
        }
        let name = self.get("AWS_LAMBDA_FUNCTION_NAME");
        if name.is_none() {
            self.faults.push(
                "TRIPLINE_CHECK_MAPPING is true, but AWS_LAMBDA_FUNCTION_NAME does not say which function this is; \
                 leave the former out where there is no mapping"
                    .to_owned(),
            );
        }
        name
    }

    fn metrics_function(&mut self) -> Option<String> {
        let name = self.get("AWS_LAMBDA_FUNCTION_NAME");
        let told = self.value("TRIPLINE_METRICS", name.is_some(), |text| match text {
            "emf" => Ok(true),
            "off" => Ok(false),
            _ => Err("`emf` or `off`"),
        });
        told.then(|| name.unwrap_or_else(|| "local".to_owned()))
    }

    fn format(&mut self) -> Option<FileFormat> {
        if self.get("TRIPLINE_FILE_FORMAT").is_some() {
            return self.value("TRIPLINE_FILE_FORMAT", None, |text| match text {
                "parquet" => Ok(Some(FileFormat::Parquet)),
                "json" => Ok(Some(FileFormat::JsonLines)),
                _ => Err("`parquet` or `json`"),
            });
        }
        self.value("ParquetConversion", None, |text| {
            parse_flag(text)
                .map(|parquet| Some(if parquet { FileFormat::Parquet } else { FileFormat::JsonLines }))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_variables(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let error = read(&[
            ("TRIPLINE_JOURNAL_RETENTION", "5m"),
            ("TRIPLINE_PARTIAL_RESPONSES", "perhaps"),
            ("TRIPLINE_LAEK", "s3://trips"),
        ])
        .unwrap_err()
        .to_string();
        for part in ["TRIPLINE_PIPELINE", "TRIPLINE_LAKE", "TRIPLINE_LAEK", "perhaps", "retention of 300 s"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn a_function_has_the_processors_that_its_memory_brings() {
        for (memory_mb, cores) in [("512", 1), ("1769", 1), ("3537", 1), ("3538", 2), ("10240", 5)] {
            let variables = [
                ("TRIPLINE_PIPELINE", "p"),
                ("TRIPLINE_LAKE", "s3://trips"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb),
            ];
            let settings = read(&variables).unwrap();
            assert_eq!(
                settings.publish_options(FileFormat::Parquet).encodes_at_once,
                cores,
                "{memory_mb} MB"
            );
        }
    }

    #[test]
    fn names_of_the_reference_application_are_understood() {
        let settings = read(&[
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("OutputBucket", "s3://trips/streaming-etl-output/"),
            ("OutputPrefix", "v2/"),
            ("ParquetConversion", "false"),
        ])
        .unwrap();
        assert_eq!(settings.lake, "s3://trips/streaming-etl-output/v2");
        assert_eq!(settings.format, Some(FileFormat::JsonLines));
        assert_eq!(settings.pipeline, PathBuf::from("/var/task/pipeline"));
    }

    #[test]
    fn the_own_name_wins_over_the_reference_application_s() {
        let variables = [
            ("TRIPLINE_PIPELINE", "p"),
            ("TRIPLINE_LAKE", "/lake"),
            ("OutputBucket", "other"),
            ("TRIPLINE_FILE_FORMAT", "parquet"),
            ("ParquetConversion", "false"),
        ];
        let settings = read(&variables).unwrap();
        assert_eq!((settings.lake.as_str(), settings.format), ("/lake", Some(FileFormat::Parquet)));
    }
}

//! The functions as Lambda has them: variables, memory, timeout, event source mappings.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use tripline_ingest::mapping::{LambdaMappings, SourceMapping, judge};
use tripline_settings::Settings;

use super::DoctorArguments;
use super::findings::Findings;
use crate::status::duration;

const PATIENCE: Duration = Duration::from_secs(15);
/// What a function that publishes has at least, in MB: twice the rows of a commit, a file, and the program.
const PUBLISH_MB: i32 = 512;
/// What a batch of 6 MB takes, which aggregates inflate.
const INGEST_MB: i32 = 256;
/// Of a function's timeout, seconds.
const SHORT_S: i32 = 60;

pub(super) async fn check(arguments: &DoctorArguments, here: Option<&Settings>, findings: &mut Findings) {
    if arguments.function.is_empty() {
        return findings.not_checked("function", "none is named (--function NAME)");
    }
    let patience = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(patience).load().await;
    if config.region().is_none() {
        return findings.not_checked("function", "no region is known");
    }
    let client = Client::new(&config);
    for name in &arguments.function {
        let checked = Checked { name, arguments, here };
        match client.get_function_configuration().function_name(name).send().await {
            Ok(found) => checked.function(&found, findings).await,
            Err(error) => findings.fail(
                "function",
                format!("{name}: {}", DisplayErrorContext(error)),
                "correct the name or AWS_REGION, or allow lambda:GetFunctionConfiguration",
            ),
        }
    }
}

struct Checked<'c> {
    name: &'c str,
    arguments: &'c DoctorArguments,
    /// The settings of this command's own environment.
    here: Option<&'c Settings>,
}

impl Checked<'_> {
    async fn function(&self, found: &GetFunctionConfigurationOutput, findings: &mut Findings) {
        let settings = self.variables(found, findings);
        let own = found.function_name().unwrap_or(self.name).to_owned();
        match LambdaMappings::new(own).all().await {
            Ok(mappings) => {
                self.sizes(found, mappings.is_empty(), findings);
                self.mappings(&mappings, settings.as_ref(), findings);
            }
            Err(error) => {
                findings.not_checked("mapping", format!("{error}; allow lambda:ListEventSourceMappings"));
            }
        }
    }

    /// The settings that the function reads, if they can be read.
    fn variables(&self, found: &GetFunctionConfigurationOutput, findings: &mut Findings) -> Option<Settings> {
        const ABOUT: &str = "function";
        let name = self.name;
        let empty = HashMap::new();
        let told = found.environment().and_then(|environment| environment.variables()).unwrap_or(&empty);
        // What Lambda itself sets.
        let own = found.function_name().unwrap_or(name).to_owned();
        let by_lambda = [("LAMBDA_TASK_ROOT", "/var/task".to_owned()), ("AWS_LAMBDA_FUNCTION_NAME", own)];
        let by_lambda = by_lambda.map(|(name, value)| (name.to_owned(), value));
        let all = told.iter().map(|(name, value)| (name.clone(), value.clone())).chain(by_lambda);
        let settings = match Settings::from_variables(all) {
            Ok(settings) => settings,
            Err(error) => {
                for fault in error.faults() {
                    findings.fail(ABOUT, format!("{name}: {fault}"), "correct the function's environment");
                }
                return None;
            }
        };
        findings.ok(ABOUT, format!("{name}: its variables are known and do not contradict each other"));
        let (wanted, has) = (&self.arguments.lake.lake, &settings.lake);
        if wanted.trim_end_matches('/') != has.trim_end_matches('/') {
            let what = format!("{name} works on the lake {has}, and not on {wanted}");
            findings.fail(ABOUT, what, "correct TRIPLINE_LAKE, or the --lake given here");
        }
        if let Some(here) = self.here.filter(|here| here.source_epoch != settings.source_epoch) {
            let what = format!(
                "{name} has the source epoch {:?}, and this environment {:?}",
                settings.source_epoch, here.source_epoch
            );
            findings.warn(ABOUT, what, "set TRIPLINE_SOURCE_EPOCH alike before `tripline run` or a redrive");
        }
        Some(settings)
    }

    fn sizes(&self, found: &GetFunctionConfigurationOutput, publishes: bool, findings: &mut Findings) {
        const ABOUT: &str = "function";
        let (name, memory) = (self.name, found.memory_size().unwrap_or_default());
        let timeout = found.timeout().unwrap_or_default();
        let (role, least) = if publishes { ("publish", PUBLISH_MB) } else { ("ingest", INGEST_MB) };
        let what = format!("{name}: {memory} MB, {timeout} s");
        match () {
            () if memory < least => {
                findings.fail(
                    ABOUT,
                    format!("{what}: too little memory for {role}"),
                    format!("{least} MB or more"),
                );
            }
            () if timeout < SHORT_S => findings.warn(
                ABOUT,
                format!("{what}: a store or cluster that is slow for a moment fails the invocation"),
                "300 s for ingest, 900 s for publish",
            ),
            () => findings.ok(ABOUT, what),
        }
        if publishes {
            findings
                .not_checked("function", format!("{name}: no mapping invokes it; whether a schedule does"));
        }
    }

    fn mappings(&self, mappings: &[SourceMapping], settings: Option<&Settings>, findings: &mut Findings) {
        const ABOUT: &str = "mapping";
        let mut sources: BTreeMap<(&str, Option<&String>), Vec<SourceMapping>> = BTreeMap::new();
        for mapping in mappings {
            let topics: Vec<Option<&String>> = match mapping.topics.as_slice() {
                [] => vec![None],
                topics => topics.iter().map(Some).collect(),
            };
            for topic in topics {
                sources.entry((&mapping.source, topic)).or_default().push(mapping.clone());
            }
        }
        for ((source, topic), mappings) in sources {
            let partial = match settings {
                Some(settings) => settings.partial_responses,
                // Judged as the mapping itself has it, where the function's side is not known.
                None => mappings.iter().all(|mapping| mapping.reports_batch_item_failures),
            };
            let place = topic.map_or_else(|| source.to_owned(), |topic| format!("{source} {topic}"));
            match judge(&place, &mappings, partial) {
                Err(fault) => findings.fail(ABOUT, fault.to_string(), ""),
                Ok(()) if mappings.iter().any(|mapping| mapping.is_active) => findings.ok(
                    ABOUT,
                    format!("{place}: one batch of a shard at a time, partial responses as the function gives them"),
                ),
                Ok(()) => findings.warn(ABOUT, format!("{place}: its mapping is off"), "enable it"),
            }
            for mapping in mappings.iter().filter(|mapping| mapping.is_active) {
                advise(mapping, settings, findings);
            }
        }
    }
}

/// What a mapping works without, and people will miss.
fn advise(mapping: &SourceMapping, settings: Option<&Settings>, findings: &mut Findings) {
    const ABOUT: &str = "mapping";
    let id = &mapping.id;
    let (retries, age) = (mapping.maximum_retry_attempts, mapping.maximum_record_age_seconds);
    let gives_up = retries >= 0 || age >= 0;
    match &mapping.on_failure {
        Some(destination) if destination.starts_with("arn:aws") && destination.contains(":s3:::") => {
            findings.ok(ABOUT, format!("{id}: what it gives up goes to {destination}"));
        }
        Some(destination) => findings.warn(
            ABOUT,
            format!("{id}: {destination} gets only the place of what is given up, and not the records"),
            "a destination on S3 has them whole: `tripline redrive --failed-batches` brings them in",
        ),
        None if gives_up => findings.fail(
            ABOUT,
            format!("{id}: what it gives up is lost, for want of an on-failure destination"),
            "name a bucket as OnFailure destination",
        ),
        None => findings.warn(
            ABOUT,
            format!("{id}: without an on-failure destination, and so it must try each batch until it expires in the stream"),
            "name a bucket as OnFailure destination, and a MaximumRecordAgeInSeconds",
        ),
    }
    if !mapping.bisects && mapping.topics.is_empty() {
        let what =
            format!("{id}: one record that fails the function holds up, or takes along, its whole batch");
        findings.warn(ABOUT, what, "set BisectBatchOnFunctionError");
    }
    if settings.is_some_and(|settings| !settings.partial_responses) {
        let what =
            format!("{id}: without partial responses all of a batch comes again when one record fails");
        findings.warn(ABOUT, what, "set ReportBatchItemFailures and TRIPLINE_PARTIAL_RESPONSES=true");
    }
    if age < 0 {
        findings.ok(ABOUT, format!("{id}: batches are tried until they expire in the stream"));
    } else {
        let age = Duration::from_secs(u64::try_from(age).unwrap_or_default());
        findings.ok(ABOUT, format!("{id}: records are given up after {}", duration(age)));
    }
}

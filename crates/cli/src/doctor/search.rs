//! The search cluster: whether it is reached, and has what `tripline setup` puts there.

use tripline_lake::Environment;
use tripline_model::pipeline::Pipeline;
use tripline_search::setup::{Change, Setup, SetupOptions};
use tripline_settings::{SinkSettings, search_environment};

use super::findings::Findings;

const ABOUT: &str = "search";

pub(super) async fn check(sinks: &SinkSettings, pipeline: Option<&Pipeline>, findings: &mut Findings) {
    let Some(cluster) = &sinks.search else {
        return findings.not_checked(ABOUT, "no cluster is named (--opensearch, TRIPLINE_OPENSEARCH_URL)");
    };
    for host in cluster.hosts.iter().filter(|host| is_open(host)) {
        let what =
            format!("{host} is reached without TLS: whoever is in between reads and changes documents");
        findings.warn(ABOUT, what, "use https");
    }
    if cluster.allow_insecure {
        let fix =
            "leave out TRIPLINE_OPENSEARCH_ALLOW_INSECURE, and name the authority by TRIPLINE_OPENSEARCH_CA";
        findings.warn(ABOUT, "any certificate is taken", fix);
    }
    let Some(pipeline) = pipeline else {
        return findings.not_checked(ABOUT, "the pipeline file cannot be used");
    };
    let setup = match Setup::connect(cluster, search_environment(&Environment::default())).await {
        Ok(setup) => setup,
        Err(error) => return findings.fail(ABOUT, error.to_string(), ""),
    };
    let steps = match setup.plan(pipeline, &SetupOptions::default()).await {
        Ok(steps) => steps,
        Err(error) => return findings.fail(ABOUT, error.to_string(), ""),
    };
    let fix = "tripline setup --pipeline … --opensearch …, before the first document of a new index";
    for step in &steps {
        match &step.change {
            Change::None => findings.ok(ABOUT, format!("{} is there and current", step.what)),
            Change::Create => {
                findings.fail(ABOUT, format!("{} is not there: fields would be guessed", step.what), fix)
            }
            Change::Replace(lines) => {
                findings.warn(ABOUT, format!("{} says other things: {}", step.what, lines.join(", ")), fix);
            }
        }
    }
    match setup.outdated(pipeline).await {
        Ok(indices) if indices.is_empty() => {
            findings.ok(ABOUT, "the indices that exist have the pipeline's mappings")
        }
        Ok(indices) => {
            for (index, lines) in indices {
                let what = format!("index {index} was made with another mapping: {}", lines.join(", "));
                findings.warn(ABOUT, what, "reindex it, or let it age: new indices follow the template");
            }
        }
        Err(error) => findings.fail(ABOUT, error.to_string(), ""),
    }
    findings.not_checked(ABOUT, "the right to write documents: nothing is written");
}

/// Whether a cluster that is not on this machine is spoken to in the open.
fn is_open(host: &str) -> bool {
    let Some(rest) = host.strip_prefix("http://") else { return false };
    !["127.0.0.1", "localhost", "[::1]"].iter().any(|own| rest.starts_with(own))
}

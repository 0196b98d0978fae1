//! How to reach the search cluster.

use std::time::Duration;

use tripline_search::{Auth, SearchOptions, Service, SigV4};

use crate::parse::{parse_duration, parse_flag};
use crate::{Reader, Variable, variable};

/// Variables of the search sink.
pub(crate) const VARIABLES: [Variable; 14] = [
    variable(
        "TRIPLINE_OPENSEARCH_URL",
        "none",
        "the search cluster: `https://host[:port][/path]`, or several with commas between",
    ),
    variable(
        "TRIPLINE_OPENSEARCH_AUTH",
        "`sigv4` for hosts of AWS, `basic` with a user, else `none`",
        "how requests prove who sends them",
    ),
    variable(
        "TRIPLINE_OPENSEARCH_SERVICE",
        "`aoss` for hosts of Serverless, else `es`",
        "the service that requests are signed for",
    ),
    variable("TRIPLINE_OPENSEARCH_REGION", "the function's", "the region that requests are signed for"),
    variable("TRIPLINE_OPENSEARCH_USER", "none", "user, for `basic`"),
    variable("TRIPLINE_OPENSEARCH_PASSWORD", "none", "password, for `basic`"),
    variable(
        "TRIPLINE_OPENSEARCH_CA",
        "the system's alone",
        "file of PEM certificates to trust besides the system's",
    ),
    variable("TRIPLINE_OPENSEARCH_ALLOW_INSECURE", "`false`", "`true` takes any certificate, for tests"),
    variable("TRIPLINE_OPENSEARCH_GZIP", "`true`", "`false` sends bodies uncompressed"),
    variable(
        "TRIPLINE_OPENSEARCH_BULK_BYTES",
        "`5MiB`",
        "longest body of a bulk request, before compression; less than `10MiB`",
    ),
    variable("TRIPLINE_OPENSEARCH_BULK_ACTIONS", "`5000`", "most documents in a bulk request"),
    variable(
        "TRIPLINE_OPENSEARCH_IN_FLIGHT",
        "`4`",
        "most requests at once; fewer while the cluster is busy",
    ),
    variable("TRIPLINE_OPENSEARCH_TIMEOUT", "`30s`", "after which a request is given up and tried again"),
    variable(
        "TRIPLINE_OPENSEARCH_RETRY_FOR",
        "`120s`",
        "how long a batch is tried at most, within its invocation's time, before it is left to the mapping",
    ),
];

/// Ends of the host names of Amazon's search services.
const OF_AWS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws"];

impl Reader {
    /// Options of the search sink; `None` where there is no cluster.
    pub(crate) fn search(&mut self) -> Option<SearchOptions> {
        let urls = self.get("TRIPLINE_OPENSEARCH_URL").or_else(|| self.endpoint_of_reference())?;
        let hosts: Vec<String> = urls.split(',').map(|url| url.trim().to_owned()).collect();
        let defaults = SearchOptions::default();
        Some(SearchOptions {
            auth: self.auth(&hosts),
            hosts,
            ca_bundle: self.get("TRIPLINE_OPENSEARCH_CA").map(Into::into),
            allow_insecure: self.value("TRIPLINE_OPENSEARCH_ALLOW_INSECURE", false, parse_flag),
            gzip: self.value("TRIPLINE_OPENSEARCH_GZIP", defaults.gzip, parse_flag),
            max_bytes: self.bulk_bytes(defaults.max_bytes),
            max_actions: self.count(
                &["TRIPLINE_OPENSEARCH_BULK_ACTIONS", "ElasticsearchBulkFlushMaxActions"],
                defaults.max_actions,
            ),
            max_in_flight: self.count(&["TRIPLINE_OPENSEARCH_IN_FLIGHT"], defaults.max_in_flight),
            request_timeout: self.time("TRIPLINE_OPENSEARCH_TIMEOUT", defaults.request_timeout),
            retry_for: self.time("TRIPLINE_OPENSEARCH_RETRY_FOR", defaults.retry_for),
            ..defaults
        })
    }

    /// The reference application takes a host, with or without a scheme.
    fn endpoint_of_reference(&self) -> Option<String> {
        let endpoint = self.get("OutputElasticsearchEndpoint")?;
        Some(if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") })
    }

    fn auth(&mut self, hosts: &[String]) -> Auth {
        let user = self.get("TRIPLINE_OPENSEARCH_USER");
        let password = self.get("TRIPLINE_OPENSEARCH_PASSWORD");
        if user.is_none() && password.is_some() {
            self.faults
                .push("TRIPLINE_OPENSEARCH_PASSWORD is set, but TRIPLINE_OPENSEARCH_USER is not".to_owned());
        }
        let is_aws = hosts.iter().any(|host| OF_AWS.iter().any(|end| of_aws(host, end)));
        let default = match &user {
            Some(_) => "basic",
            None if is_aws => "sigv4",
            None => "none",
        };
        let chosen = self.get("TRIPLINE_OPENSEARCH_AUTH").unwrap_or_else(|| default.to_owned());
        match (chosen.as_str(), user, password) {
            ("none", _, _) => Auth::None,
            ("basic", Some(user), Some(password)) => Auth::Basic { user, password },
            ("basic", _, _) => {
                self.faults.push(
                    "TRIPLINE_OPENSEARCH_AUTH is basic, but TRIPLINE_OPENSEARCH_USER or _PASSWORD is not set"
                        .to_owned(),
                );
                Auth::None
            }
            ("sigv4", _, _) => {
                let is_serverless = hosts.iter().any(|host| host.contains(".aoss."));
                let default = if is_serverless { Service::Aoss } else { Service::Es };
                let service = self.value("TRIPLINE_OPENSEARCH_SERVICE", default, |text| match text {
                    "es" => Ok(Service::Es),
                    "aoss" => Ok(Service::Aoss),
                    _ => Err("`es` or `aoss`"),
                });
                let region = self.first(&["TRIPLINE_OPENSEARCH_REGION", "ElasticsearchRegion"]);
                Auth::SigV4(SigV4 { service, region, credentials: None })
            }
            (other, _, _) => {
                self.faults.push(format!(
                    "TRIPLINE_OPENSEARCH_AUTH is {other:?} where `sigv4`, `basic` or `none` is wanted"
                ));
                Auth::None
            }
        }
    }

    fn bulk_bytes(&mut self, default: usize) -> usize {
        let mebibytes = self.value("ElasticsearchBulkFlushMaxSizeMb", None, |text| {
            text.parse::<usize>()
                .map(|count| Some(count.saturating_mul(1 << 20)))
                .map_err(|_| "a whole number")
        });
        self.size("TRIPLINE_OPENSEARCH_BULK_BYTES", mebibytes.unwrap_or(default))
    }

    pub(crate) fn count(&mut self, names: &[&str], default: usize) -> usize {
        let name = names.iter().find(|name| self.get(name).is_some());
        name.map_or(default, |name| {
            self.value(name, default, |text| text.parse().map_err(|_| "a whole number"))
        })
    }

    fn time(&mut self, name: &str, default: Duration) -> Duration {
        self.value(name, default, parse_duration)
    }
}

/// Whether a URL's host ends so.
fn of_aws(url: &str, end: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':', '?']).next().unwrap_or_default();
    host.ends_with(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::{Settings, SettingsError};

    fn read(more: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let needed = [("TRIPLINE_PIPELINE", "p"), ("TRIPLINE_LAKE", "/lake")];
        let variables = needed.iter().chain(more);
        Settings::from_variables(variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn hosts_of_aws_are_signed_for_and_others_only_when_asked() {
        let auth = |more: &[(&str, &str)]| match read(more).unwrap().sinks.search.unwrap().auth {
            Auth::SigV4(signing) => signing.service.name(),
            Auth::Basic { .. } => "basic",
            Auth::None => "none",
        };
        let url = |url| ("TRIPLINE_OPENSEARCH_URL", url);
        assert_eq!(auth(&[url("https://search-trips-x.eu-west-1.es.amazonaws.com")]), "es");
        assert_eq!(auth(&[url("https://x.eu-west-1.aoss.amazonaws.com")]), "aoss");
        assert_eq!(auth(&[url("https://search.example.com/amazonaws.com")]), "none");
        assert_eq!(auth(&[url("https://localhost"), ("TRIPLINE_OPENSEARCH_AUTH", "sigv4")]), "es");
        let basic = [("TRIPLINE_OPENSEARCH_USER", "me"), ("TRIPLINE_OPENSEARCH_PASSWORD", "hush")];
        assert_eq!(auth(&[url("https://localhost"), basic[0], basic[1]]), "basic");
        let shown = format!("{:?}", read(&[url("https://localhost"), basic[0], basic[1]]).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn names_of_the_reference_application_are_understood() {
        let settings = read(&[
            ("OutputElasticsearchEndpoint", "search-trips-x.eu-west-1.es.amazonaws.com"),
            ("ElasticsearchRegion", "eu-west-1"),
            ("ElasticsearchBulkFlushMaxSizeMb", "3"),
            ("ElasticsearchBulkFlushMaxActions", "700"),
        ]);
        let search = settings.unwrap().sinks.search.unwrap();
        assert_eq!(search.hosts, ["https://search-trips-x.eu-west-1.es.amazonaws.com"]);
        assert_eq!((search.max_bytes, search.max_actions), (3 << 20, 700));
        let Auth::SigV4(signing) = search.auth else { panic!("{:?}", search.auth) };
        assert_eq!(signing.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn authentication_that_cannot_be_is_refused() {
        let basic = [("TRIPLINE_OPENSEARCH_URL", "https://x"), ("TRIPLINE_OPENSEARCH_AUTH", "basic")];
        let error = read(&basic).unwrap_err().to_string();
        assert!(error.contains("TRIPLINE_OPENSEARCH_USER"), "{error}");
    }
}

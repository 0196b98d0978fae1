//! The nodes of a cluster, taken in turns; one that did not answer is left out for a while.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use http::Uri;

/// How long a host that did not answer is left out, milliseconds.
const REST_MS: i64 = 30_000;

/// The hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    turn: AtomicUsize,
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    /// Scheme, authority and path, without a slash at the end.
    base: String,
    secure: bool,
    rests_until_ms: AtomicI64,
}

impl Hosts {
    pub(super) fn new(urls: &[String], faults: &mut Vec<String>) -> Self {
        let mut hosts = Vec::new();
        for url in urls {
            match Host::parse(url) {
                Ok(host) => hosts.push(host),
                Err(fault) => faults.push(fault),
            }
        }
        Self { hosts, turn: AtomicUsize::new(0) }
    }

    pub(super) fn any_secure(&self) -> bool {
        self.hosts.iter().any(|host| host.secure)
    }

    pub(super) fn any_plain(&self) -> bool {
        self.hosts.iter().any(|host| !host.secure)
    }

    /// The next host; of hosts that all rest, the one that has rested longest.
    pub(super) fn next(&self, now_ms: i64) -> &Host {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let from = turn.checked_rem(self.hosts.len()).unwrap_or_default();
        let in_turn = self.hosts.iter().cycle().skip(from).take(self.hosts.len());
        let rest = |host: &&Host| (host.rests_until_ms.load(Ordering::Relaxed) - now_ms).max(0);
        in_turn.min_by_key(rest).unwrap_or(&NOWHERE)
    }
}

/// What an empty list has for a host; options without hosts are refused.
static NOWHERE: Host = Host { base: String::new(), secure: false, rests_until_ms: AtomicI64::new(0) };

impl Host {
    fn parse(url: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("`{}` {what}: give https://host[:port][/path]", without_password(url));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("is neither https nor http")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a password, which belongs in the options for it"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query"));
        }
        // A signature is of the host as the request names it, and that is without the usual port.
        let usual = if secure { ":443" } else { ":80" };
        let authority = authority.as_str().strip_suffix(usual).unwrap_or(authority.as_str());
        let scheme = if secure { "https" } else { "http" };
        let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
        Ok(Self { base, secure, rests_until_ms: AtomicI64::new(0) })
    }

    pub(super) fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        &self.base
    }

    /// Leaves the host out for a while.
    pub(super) fn rest(&self, now_ms: i64) {
        self.rests_until_ms.store(now_ms.saturating_add(REST_MS), Ordering::Relaxed);
    }
}

/// Without what stands before an `@`, but for a scheme.
fn without_password(url: &str) -> String {
    let Some((before, rest)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = ["https://", "http://"].into_iter().find(|scheme| before.starts_with(scheme));
    format!("{}…@{rest}", scheme.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hosts(urls: &[&str]) -> (Hosts, Vec<String>) {
        let mut faults = Vec::new();
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        (Hosts::new(&urls, &mut faults), faults)
    }

    #[test]
    fn hosts_take_turns_and_those_that_fail_are_left_out_for_a_while() {
        let (hosts, faults) = hosts(&["http://a:9200", "https://b/es/", "https://c:443"]);
        assert!(faults.is_empty() && hosts.any_secure() && hosts.any_plain());
        let next = |now_ms| hosts.next(now_ms).name().to_owned();
        assert_eq!([next(0), next(0), next(0)], ["http://a:9200", "https://b/es", "https://c"]);
        hosts.next(0).rest(0);
        assert_eq!([next(1), next(1), next(1)], ["https://b/es", "https://c", "https://b/es"]);
        assert_eq!([next(30_000), next(30_000)], ["https://b/es", "https://c"]);
        assert_eq!(next(30_000), "http://a:9200");
        hosts.hosts.iter().for_each(|host| host.rest(50_000));
        hosts.hosts.first().unwrap().rest(40_000);
        assert_eq!([next(51_000), next(51_000)], ["http://a:9200", "http://a:9200"]);
    }

    #[test]
    fn what_is_no_host_is_a_fault_that_shows_no_password() {
        for (url, expected) in [
            ("search.example.com", "`search.example.com` is neither https nor http"),
            ("ftp://a", "`ftp://a` is neither https nor http"),
            ("https://", "`https://` is no URL"),
            ("https://me:secret@a", "`https://…@a` holds a password"),
            ("https://me:se@cret@a", "`https://…@a` "),
            ("me:secret@a", "`…@a` is neither https nor http"),
            ("me:se://cret@a:9200/x", "`…@a:9200/x` "),
            ("https://a/?x=1", "`https://a/?x=1` has a query"),
        ] {
            let (_, faults) = hosts(&[url]);
            assert!(faults.first().unwrap().starts_with(expected), "{faults:?}");
            assert!(!faults.concat().contains("cret"), "{faults:?}");
        }
    }
}

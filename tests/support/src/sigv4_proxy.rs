//! A proxy that verifies signatures.

use std::io;

use crate::Unavailable;
use crate::http::{Reply, request};
use crate::server::{Server, on_free_port};

/// A proxy that lets a request through where its signature is right, and answers 403 else; see
/// `tests/servers/sigv4-proxy`.
#[derive(Debug)]
pub struct SigV4Proxy {
    _server: Server,
    url: String,
}

impl SigV4Proxy {
    /// The access key's id that it knows.
    pub const ACCESS_KEY: &'static str = "AKIDTEST";
    /// The access key's secret.
    pub const SECRET_KEY: &'static str = "secrettest";
    /// The session token that it wants, where it wants one.
    pub const TOKEN: &'static str = "session/token+test=";
    /// The region that signatures must name.
    pub const REGION: &'static str = "eu-north-1";

    /// Starts one before the server at `upstream` that wants signatures for `service`, of a session or not.
    pub fn start(upstream: &str, service: &str, session: bool) -> Result<Self, Unavailable> {
        let token = if session { format!(":{}", Self::TOKEN) } else { String::new() };
        let keys = format!("{}:{}{token}", Self::ACCESS_KEY, Self::SECRET_KEY);
        on_free_port(|port| {
            let number = port.to_string();
            let variables = [
                ("PROXY_PORT", number.as_str()),
                ("PROXY_UPSTREAM", upstream),
                ("PROXY_SERVICE", service),
                ("PROXY_REGION", Self::REGION),
                ("SIGV4_KEYS", keys.as_str()),
            ];
            let server = Server::start("sigv4-proxy", &variables)?;
            Ok(Self { _server: server, url: format!("http://127.0.0.1:{port}") })
        })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it let through and what not, as JSON.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn stats(&self) -> io::Result<Reply> {
        request(&self.url, "GET", "/_proxy/stats", "")
    }
}

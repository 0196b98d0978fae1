//! A real PostgreSQL server.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::server::{Server, on_free_port};
use crate::{Unavailable, or_left_out};

/// A PostgreSQL server with an empty database, on loopback; see `tests/servers/postgres`.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    port: u16,
}

impl Postgres {
    /// Starts a server of one's own; [`Server`] says when it ends.
    pub fn start() -> Result<Self, Unavailable> {
        Self::with(&[])
    }

    /// One that takes TLS only, with a certificate for `localhost`: see [`ca`](Self::ca).
    pub fn start_with_tls() -> Result<Self, Unavailable> {
        Self::with(&[("POSTGRES_TLS", "1")])
    }

    fn with(settings: &[(&str, &str)]) -> Result<Self, Unavailable> {
        on_free_port(|port| {
            let number = port.to_string();
            let mut variables = vec![("POSTGRES_PORT", number.as_str())];
            variables.extend_from_slice(settings);
            Ok(Self { server: Server::start("postgres", &variables)?, port })
        })
    }

    /// The server that the tests of one binary share: each takes tables of its own.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<Postgres, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    /// [`shared`](Self::shared), or `None` when `test` is to be left out: see [`or_left_out`].
    pub fn shared_for(test: &str) -> Option<&'static Self> {
        or_left_out(test, Self::shared())
    }

    /// The database's URL, with user and password.
    pub fn url(&self) -> String {
        format!("postgres://test:test-secret@localhost:{}/test", self.port)
    }

    /// The same by the server's socket, a file.
    pub fn socket_url(&self) -> String {
        let folder = self.server.data().join("db").display().to_string().replace('/', "%2F");
        format!("postgres://test:test-secret@{folder}:{}/test", self.port)
    }

    /// The certificate of the authority that the server's is by, where it takes TLS only.
    pub fn ca(&self) -> PathBuf {
        self.server.data().join("ca.pem")
    }
}

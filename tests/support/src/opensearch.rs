//! A real OpenSearch node.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::http::{Reply, request};
use crate::server::{Server, on_free_port};
use crate::{Unavailable, or_left_out};

/// A real OpenSearch node on loopback, without authentication; see `tests/servers/opensearch`.
#[derive(Debug)]
pub struct OpenSearch {
    server: Server,
    port: u16,
    url: String,
}

impl OpenSearch {
    /// Starts a node of one's own with further lines of `opensearch.yml`; [`Server`] says when it ends.
    pub fn start(settings: &str) -> Result<Self, Unavailable> {
        on_free_port(|port| Self::launch(port, settings, None))
    }

    /// Starts a node whose data is kept in `folder`, on the port of the one that it takes the place of, if
    /// any.
    pub fn start_in(folder: &Path, instead_of: Option<&Killed>) -> Result<Self, Unavailable> {
        match instead_of {
            Some(killed) => Self::launch(killed.port, "", Some(folder)),
            None => on_free_port(|port| Self::launch(port, "", Some(folder))),
        }
    }

    fn launch(port: u16, settings: &str, folder: Option<&Path>) -> Result<Self, Unavailable> {
        let (number, folder) = (port.to_string(), folder.map(PathBuf::from).unwrap_or_default());
        let folder = folder.display().to_string();
        let variables = [("OS_PORT", number.as_str()), ("OS_SETTINGS", settings), ("ATTEND_DATA", &folder)];
        let server = Server::start("opensearch", &variables)?;
        Ok(Self { server, port, url: format!("http://127.0.0.1:{port}") })
    }

    /// The node that the tests of one binary share: each takes indices of its own.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<OpenSearch, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("")).as_ref().map_err(Clone::clone)
    }

    /// [`shared`](Self::shared), or `None` when `test` is to be left out: see [`or_left_out`].
    pub fn shared_for(test: &str) -> Option<&'static Self> {
        or_left_out(test, Self::shared())
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks the node, with a JSON body or none.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> io::Result<Reply> {
        request(&self.url, method, path, body)
    }

    /// Kills the node as it stands, as a power cut would.
    ///
    /// # Errors
    /// When its process cannot be found.
    pub fn kill(self) -> io::Result<Killed> {
        self.server.kill()?;
        Ok(Killed { port: self.port })
    }
}

/// What is left of a node that was killed.
#[derive(Clone, Copy, Debug)]
pub struct Killed {
    port: u16,
}

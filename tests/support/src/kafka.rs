//! A real Kafka broker.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::server::Server;
use crate::{Unavailable, or_left_out};

/// A real Kafka broker on loopback; see `tests/servers/kafka`. Topics are made when first used, with four
/// partitions.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    port: u16,
}

/// What is left of a broker that was killed.
#[derive(Clone, Copy, Debug)]
pub struct KilledKafka {
    port: u16,
}

impl Kafka {
    /// The user of the SCRAM listener.
    pub const USER: &str = "test";
    /// That user's password.
    pub const PASSWORD: &str = "test-secret";

    /// Starts a broker of one's own with further lines of `server.properties`; [`Server`] says when it ends.
    pub fn start(settings: &str) -> Result<Self, Unavailable> {
        on_free_ports(|port| Self::launch(port, settings, None, false))
    }

    /// Starts a broker that has listeners with TLS and SASL too.
    pub fn start_with_sasl() -> Result<Self, Unavailable> {
        on_free_ports(|port| Self::launch(port, "", None, true))
    }

    /// Starts a broker whose data is kept in `folder`, on the port of the one that it takes the place of, if
    /// any.
    pub fn start_in(folder: &Path, instead_of: Option<KilledKafka>) -> Result<Self, Unavailable> {
        match instead_of {
            Some(killed) => Self::launch(killed.port, "", Some(folder), false),
            None => on_free_ports(|port| Self::launch(port, "", Some(folder), false)),
        }
    }

    fn launch(port: u16, settings: &str, folder: Option<&Path>, sasl: bool) -> Result<Self, Unavailable> {
        let (number, folder) = (port.to_string(), folder.map(PathBuf::from).unwrap_or_default());
        let folder = folder.display().to_string();
        let variables = [
            ("KAFKA_PORT", number.as_str()),
            ("KAFKA_SETTINGS", settings),
            ("KAFKA_SASL", if sasl { "1" } else { "" }),
            ("ATTEND_DATA", &folder),
        ];
        Ok(Self { server: Server::start("kafka", &variables)?, port })
    }

    /// The broker that the tests of one binary share: each takes topics of its own.
    pub fn shared() -> Result<&'static Self, Unavailable> {
        static SHARED: OnceLock<Result<Kafka, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("")).as_ref().map_err(Clone::clone)
    }

    /// [`shared`](Self::shared), or `None` when `test` is to be left out: see [`or_left_out`].
    pub fn shared_for(test: &str) -> Option<&'static Self> {
        or_left_out(test, Self::shared())
    }

    /// `127.0.0.1:<port>`, without TLS or authentication.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The listener that wants SCRAM over TLS, of a broker with SASL.
    pub fn scram_servers(&self) -> String {
        format!("localhost:{}", self.port + 2)
    }

    /// The listener that wants a token over TLS, of a broker with SASL. It takes any that is unsecured.
    pub fn token_servers(&self) -> String {
        format!("localhost:{}", self.port + 3)
    }

    /// The certificate of the authority that TLS listeners' certificates are by, as PEM.
    pub fn ca(&self) -> PathBuf {
        self.server.data().join("ca.pem")
    }

    /// Kills the broker as it stands, as a power cut would.
    ///
    /// # Errors
    /// When its process cannot be found.
    pub fn kill(self) -> io::Result<KilledKafka> {
        self.server.kill()?;
        Ok(KilledKafka { port: self.port })
    }
}

/// Starts a broker on the first of four ports that nothing listens on. They are none that the system gives
/// to outgoing connections: a client that tries to reach a broker while it is down could be given the
/// broker's own, and then talk to itself.
fn on_free_ports(start: impl Fn(u16) -> Result<Kafka, Unavailable>) -> Result<Kafka, Unavailable> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let mut last = Unavailable::new("no four free ports in a row on 127.0.0.1");
    let mut starts = 0;
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let seed = u16::try_from(std::process::id() % 4000).unwrap_or_default();
        let port = 12_000 + (seed + step * 7) % 4000 * 4;
        let listeners = (port..port + 4).map(|port| TcpListener::bind(("127.0.0.1", port)));
        if listeners.collect::<Result<Vec<_>, _>>().is_err() {
            continue;
        }
        starts += 1;
        match start(port) {
            Err(error) if !error.for_good && starts < 3 => last = error,
            result => return result,
        }
    }
    Err(last)
}

//! Sends requests over HTTP: to one of the hosts, compressed, signed anew each time.

mod hosts;
mod sign;
mod tls;

use std::io::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::hosts::{Host, Hosts};
use self::sign::Signer;
use crate::cluster::{Answer, Cluster, Failure};
use crate::environment::Environment;
use crate::error::SearchError;
use crate::options::{Auth, SearchOptions};

/// What is asked of the cluster. The filter leaves in what is looked at, whatever the cluster would tell.
/// Its stars and commas are escaped because signers do not agree on how they are signed bare.
const PATH: &str = "/_bulk?filter_path=errors%2Citems.%2A._id%2Citems.%2A.status%2Citems.%2A.result%2C\
                    items.%2A.error.type%2Citems.%2A.error.reason%2Citems.%2A.error.caused_by";

/// Longest answer that is read.
const ANSWER_BYTES: usize = 64 << 20;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. Servers and balancers keep theirs for longer, so that it is not
/// they who close it just when it is wanted.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request's body.
#[derive(Debug)]
struct Content {
    media: &'static str,
    gzip: bool,
    bytes: Bytes,
}

/// The way to the cluster.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    hosts: Hosts,
    signer: Signer,
    gzip: bool,
    environment: Environment,
}

impl Transport {
    /// The way that the options say, for whoever has nothing else to ask for.
    pub(crate) async fn connect(
        options: &SearchOptions,
        environment: &Environment,
    ) -> Result<Self, SearchError> {
        let mut faults = options.faults();
        let transport = Self::new(options, environment, &mut faults).await;
        transport.filter(|_| faults.is_empty()).ok_or_else(|| SearchError::new(faults))
    }

    /// `None` only with a fault noted.
    pub(crate) async fn new(
        options: &SearchOptions,
        environment: &Environment,
        faults: &mut Vec<String>,
    ) -> Option<Self> {
        let hosts = Hosts::new(&options.hosts, faults);
        if matches!(options.auth, Auth::Basic { .. }) && hosts.any_plain() {
            tracing::warn!(
                "user and password go to the search cluster over http: anybody on the way can read them; use \
                 https"
            );
        }
        let tls = tls::configuration(options, hosts.any_secure(), faults);
        let signer = Signer::new(&options.auth, faults).await;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let (gzip, environment) = (options.gzip, environment.clone());
        Some(Self { client, hosts, signer: signer?, gzip, environment })
    }

    /// Sends another request, with a JSON body or none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let content = Content { media: "application/json", gzip: false, bytes: body.into() };
        self.send_to_a_host(method, path, content, timeout).await
    }

    async fn send_to_a_host(
        &self,
        method: Method,
        path: &str,
        content: Content,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let host = self.hosts.next(self.environment.now_ms());
        let sending = self.send(host, method, path, content);
        let sent = tokio::time::timeout(timeout, sending).await.unwrap_or_else(|_| {
            let reason = format!("{} did not answer within {} ms", host.name(), timeout.as_millis());
            Err(Failure { sent: true, reason })
        });
        if sent.is_err() {
            host.rest(self.environment.now_ms());
        }
        sent
    }

    async fn send(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        content: Content,
    ) -> Result<Answer, Failure> {
        let not_sent = |reason: String| Failure { sent: false, reason };
        let sent_bytes = content.bytes.len();
        let mut request = Request::builder()
            .method(method)
            .uri(host.uri(path))
            .header(CONTENT_TYPE, HeaderValue::from_static(content.media))
            .body(())
            .map_err(|error| not_sent(format!("the request cannot be made: {error}")))?;
        if content.gzip {
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let now_ms = self.environment.now_ms();
        self.signer.sign(&mut request, &content.bytes, now_ms).await.map_err(not_sent)?;
        let request = request.map(|()| Full::new(content.bytes));
        let answer = self.client.request(request).await.map_err(|error| {
            let reason = format!("{} does not answer: {}", host.name(), causes(&error));
            Failure { sent: !error.is_connect(), reason }
        })?;
        let status = answer.status().as_u16();
        if status == 403 {
            // New credentials may be better ones.
            self.signer.forget();
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map_err(|error| {
            let reason = format!("the answer of {} broke off: {error}", host.name());
            Failure { sent: true, reason }
        })?;
        Ok(Answer { status, body: body.to_bytes(), sent_bytes })
    }
}

#[async_trait]
impl Cluster for Transport {
    async fn bulk(&self, body: Bytes, timeout: Duration) -> Result<Answer, Failure> {
        let mut content = Content { media: "application/x-ndjson", gzip: self.gzip, bytes: body };
        if self.gzip {
            content.bytes = compressed(&content.bytes).into();
        }
        self.send_to_a_host(Method::POST, PATH, content, timeout).await
    }
}

/// An error and what caused it: hyper's own words say little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The fastest level: it is the function's time that is paid, and JSON shrinks to a tenth all the same.
fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

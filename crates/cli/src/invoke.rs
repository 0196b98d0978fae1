//! Lambda's invocation API, as `cargo lambda watch` and other emulators have it.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tripline_stream::mapping::INVOCATION_PAYLOAD_BYTES;

/// Lambda's longest invocation.
pub(crate) const LONGEST_INVOCATION: Duration = Duration::from_secs(15 * 60);
/// The part of an answer that is told.
const TOLD: usize = 300;

/// Why an invocation has no answer that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    /// Nobody is there: the function was not invoked.
    #[error("{uri} does not answer ({why}); start it, by cargo lambda watch say")]
    Away { uri: Uri, why: String },
    /// There are too many invocations: the function was not invoked.
    #[error("{uri} answers {}: {told}", StatusCode::TOO_MANY_REQUESTS)]
    Busy { uri: Uri, told: String },
    /// The request is larger than an invocation may be.
    #[error("the event has {bytes} bytes, an invocation may have {INVOCATION_PAYLOAD_BYTES}")]
    TooLarge { bytes: usize },
    /// The request is refused: another try is no use.
    #[error("{uri} answers {status}: {told}; is there a function of that name?")]
    Refused { uri: Uri, status: StatusCode, told: String },
    /// The function failed, or died.
    #[error("the function failed: {told}")]
    Failed { told: String },
    /// The function took too long.
    #[error("there was no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
}

impl InvokeError {
    /// Whether the same invocation may be answered later.
    pub(crate) const fn may_pass(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Refused { .. })
    }
}

/// A function that is invoked over HTTP.
#[derive(Debug)]
pub(crate) struct FunctionClient {
    uri: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

impl FunctionClient {
    /// A client of the function `name` at `http://host:port`. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub(crate) fn new(url: &str, name: &str, timeout: Duration) -> anyhow::Result<Self> {
        anyhow::ensure!(
            url.starts_with("http://"),
            "the functions' URL '{url}' does not begin with http://: give that of cargo lambda watch, such as \
             http://127.0.0.1:9000"
        );
        let uri = format!("{}/2015-03-31/functions/{name}/invocations", url.trim_end_matches('/'));
        let uri = uri.parse().map_err(|error| {
            anyhow::anyhow!("the functions' URL '{url}' or the name '{name}' cannot be used: {error}")
        })?;
        Ok(Self { uri, client: Client::builder(TokioExecutor::new()).build_http(), timeout })
    }

    /// Invokes the function and returns what it answers.
    pub(crate) async fn invoke(&self, event: Vec<u8>) -> Result<Vec<u8>, InvokeError> {
        if event.len() > INVOCATION_PAYLOAD_BYTES {
            return Err(InvokeError::TooLarge { bytes: event.len() });
        }
        tokio::time::timeout(self.timeout, self.ask(event))
            .await
            .unwrap_or(Err(InvokeError::TimedOut(self.timeout)))
    }

    async fn ask(&self, event: Vec<u8>) -> Result<Vec<u8>, InvokeError> {
        let (uri, bytes) = (self.uri.clone(), event.len());
        let mut request = Request::new(Full::new(Bytes::from(event)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        let answer = self.client.request(request).await.map_err(|error| {
            let why = whole(&error);
            // A connection that breaks off later may have invoked it.
            if error.is_connect() {
                InvokeError::Away { uri: uri.clone(), why }
            } else {
                InvokeError::Failed { told: format!("{uri}: {why}") }
            }
        })?;
        let status = answer.status();
        let has_failed = answer.headers().contains_key("x-amz-function-error");
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| InvokeError::Failed { told: whole(&error) })?.to_bytes().to_vec();
        let told = || String::from_utf8_lossy(&body).trim().chars().take(TOLD).collect();
        match status {
            _ if status.is_success() && (has_failed || is_error(&body)) => Err(InvokeError::Failed {
                told: if body.is_empty() { "no answer".to_owned() } else { told() },
            }),
            _ if status.is_success() => Ok(body),
            StatusCode::TOO_MANY_REQUESTS => Err(InvokeError::Busy { uri, told: told() }),
            StatusCode::PAYLOAD_TOO_LARGE => Err(InvokeError::TooLarge { bytes }),
            // An emulator answers so when the function's process dies.
            _ if status.is_server_error() => {
                let told: String = told();
                Err(InvokeError::Failed { told: format!("{uri} answers {status}: {told}") })
            }
            _ => Err(InvokeError::Refused { uri, status, told: told() }),
        }
    }
}

/// Whether an answer without the header of a function's error is one all the same: AWS' own emulator in the base images
/// of runtimes sets none, and answers with nothing when the function's process dies.
fn is_error(body: &[u8]) -> bool {
    let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(body).ok();
    let has = |member: &str| object.as_ref().is_some_and(|object| object.contains_key(member));
    body.trim_ascii().is_empty() || has("errorMessage") && has("errorType") && !has("batchItemFailures")
}

/// An error with all its causes.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_by_what_is_said_where_no_header_tells_it() {
        for error in ["", " \n", r#"{"errorMessage":"it fell over","errorType":"Runtime.ExitError"}"#] {
            assert!(is_error(error.as_bytes()), "{error}");
        }
        for answer in ["null", "{}", r#"{"batchItemFailures":[]}"#, r#"{"errorType":"a column"}"#, "[1]"] {
            assert!(!is_error(answer.as_bytes()), "{answer}");
        }
    }
}

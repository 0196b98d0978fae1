//! What an S3 server's refusal, or its silence, means to a caller.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::super::error::{ErrorKind, StoreError};

/// A failed request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The server answered with an error.
    Status { status: u16, code: Option<String>, message: Option<String>, request: Option<String> },
    /// There was no answer, or not all of it, or it could not be read.
    Lost(String),
    /// The request was never sent.
    NotSent(String),
}

impl<E> From<SdkError<E, HttpResponse>> for Answer
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        match &error {
            SdkError::ServiceError(refused) => Self::Status {
                status: refused.raw().status().as_u16(),
                code: refused.err().code().map(str::to_owned),
                message: refused.err().message().map(str::to_owned),
                request: refused.err().meta().request_id().map(str::to_owned),
            },
            SdkError::ConstructionFailure(_) => Self::NotSent(chain(&error)),
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::NotSent(chain(&error)),
            // What fails before the request is sent has no kind of its own here, only a text. One that is
            // not recognised is of unknown outcome, which is safe.
            SdkError::DispatchFailure(failure) if failure.is_other() => {
                let reason = chain(&error);
                if reason.contains("credentials") || reason.contains("not a valid URI") {
                    Self::NotSent(reason)
                } else {
                    Self::Lost(reason)
                }
            }
            _ => Self::Lost(chain(&error)),
        }
    }
}

impl Answer {
    /// The condition of a conditional write did not hold.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status: 412, .. })
    }

    /// There is no object of this key (and not: no bucket).
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::Status { status: 404, code, .. } => {
                matches!(code.as_deref(), None | Some("NoSuchKey" | "NotFound"))
            }
            _ => false,
        }
    }

    /// There is no such upload.
    pub(super) fn is_upload_gone(&self) -> bool {
        matches!(self, Self::Status { status: 404, code: Some(code), .. } if code == "NoSuchUpload")
    }

    pub(super) fn into_error(self, action: &'static str, place: String) -> StoreError {
        let (kind, reason, advice) = match self {
            Self::Status { status, code, message, request } => {
                let code = code.unwrap_or_default();
                let (kind, advice) = meaning(status, &code);
                let mut reason = format!("the server answered {status}");
                for (lead, text) in [(" ", Some(code)), (": ", message), (", request ", request)] {
                    if let Some(text) = text.filter(|text| !text.is_empty()) {
                        reason.push_str(lead);
                        reason.push_str(&text);
                    }
                }
                (kind, reason, advice)
            }
            Self::Lost(reason) => (ErrorKind::Unknown, reason, UNKNOWN),
            Self::NotSent(reason) if reason.contains("credentials") => {
                if reason.contains("timed out") {
                    (ErrorKind::Unknown, reason, "try again")
                } else {
                    (ErrorKind::Denied, reason, "give AWS credentials, or the function a role")
                }
            }
            Self::NotSent(reason) => (ErrorKind::Invalid, reason, "correct the store's configuration"),
        };
        StoreError::new(kind, action, place, reason, advice)
    }
}

const UNKNOWN: &str = "it may or may not have taken effect: try again";

/// What an HTTP status with S3's error code asks for (Amazon S3 API reference, error responses).
fn meaning(status: u16, code: &str) -> (ErrorKind, &'static str) {
    use ErrorKind::{Denied, Invalid, Unknown};
    match (status, code) {
        (_, "NoSuchBucket") => (Invalid, "create the bucket, or correct the store's address"),
        (_, "NoSuchUpload") => (Invalid, "start another upload"),
        (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            (Invalid, "set AWS_REGION to the bucket's region")
        }
        (_, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => (Denied, "get new credentials"),
        (_, "RequestTimeTooSkewed") => (Denied, "set this machine's clock"),
        (
            _,
            "RequestTimeout"
            | "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "OperationAborted"
            | "ConditionalRequestConflict",
        ) => (Unknown, UNKNOWN),
        (401 | 403, _) => {
            (Denied, "allow s3:GetObject, s3:PutObject, s3:DeleteObject and, for the bucket, s3:ListBucket")
        }
        (300..=399, _) => (Invalid, "set AWS_REGION to the bucket's region"),
        (501, _) => (Invalid, "use a server that has this operation"),
        // 409: another write of the key is under way. 2xx with an error in the body is S3's way of
        // failing after it has begun to answer.
        (408 | 409 | 425 | 429 | 500..=599 | 200..=299, _) => (Unknown, UNKNOWN),
        _ => (Invalid, "correct the request: trying again does not help"),
    }
}

/// An error and its causes. The SDK's own `Display` names only the outermost, and its `Debug` shows
/// whole requests.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = inner.source();
    }
    // Some are lists of several lines.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

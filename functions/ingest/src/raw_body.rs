//! The event's body as it came, untouched.
//!
//! The runtime would parse the body with serde before the handler sees it. This layer sets the bytes
//! aside for the handler and lets the runtime parse `null`, so that the body is walked once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::LambdaInvocation;
use tower::{Layer, Service};

tokio::task_local! {
    static BODY: Bytes;
}

/// The body of the invocation that the current task handles; empty outside of one.
#[must_use]
pub fn body() -> Bytes {
    BODY.try_with(Bytes::clone).unwrap_or_default()
}

/// Sets bodies aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawBody;

impl<S> Layer<S> for RawBody {
    type Service = RawBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RawBodyService { inner }
    }
}

/// See [`RawBody`].
#[derive(Clone, Debug)]
pub struct RawBodyService<S> {
    inner: S,
}

impl<S> Service<LambdaInvocation> for RawBodyService<S>
where
    S: Service<LambdaInvocation>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        let body = std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        Box::pin(BODY.scope(body, self.inner.call(invocation)))
    }
}

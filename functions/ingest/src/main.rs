//! Entry point of the ingest function.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use tripline_ingest::raw_body::{self, RawBody};
use tripline_settings::{Settings, start_logs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start_logs();
    let ingest = Arc::new(tripline_ingest::start(&Settings::from_environment()?).await?);
    let handler = service_fn(move |event: LambdaEvent<()>| {
        let ingest = Arc::clone(&ingest);
        async move {
            let deadline_ms = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
            let answer = ingest.handle(&raw_body::body(), deadline_ms).await?;
            Ok::<_, Error>(answer.response)
        }
    });
    Runtime::new(handler).layer(RawBody).run_concurrent().await
}

//! Entry point of the ingest function.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use tripline_ingest::IngestError;
use tripline_ingest::raw_body::{self, RawBody};
use tripline_settings::{Settings, deadline_ms, start_logs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start_logs();
    let ingest = Arc::new(tripline_ingest::start(&Settings::from_environment()?).await?);
    let handler = service_fn(move |event: LambdaEvent<()>| {
        let ingest = Arc::clone(&ingest);
        async move {
            let response = ingest.invoke(&raw_body::body(), deadline_ms(event.context.deadline)).await?;
            Ok::<_, IngestError>(response)
        }
    });
    Runtime::new(handler).layer(RawBody).run_concurrent().await
}

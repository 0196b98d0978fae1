//! Entry point of the publish function.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use tripline_publish::Publish;
use tripline_settings::{Settings, deadline_ms, start_logs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start_logs();
    let publish = Publish::start(&Settings::from_environment()?).await?;
    let publish = &publish;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        publish.run(deadline_ms(event.context.deadline)).await
    }))
    .await
}

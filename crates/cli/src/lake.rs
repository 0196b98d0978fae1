//! Options that name a pipeline, its lake and its files, shared by the commands.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tripline_lake::event_time::EventTimeRules;
use tripline_lake::publish::{FileFormat, PublishOptions};
use tripline_lake::store::{ObjectStore, StoreError, StoreOptions, open};
use tripline_model::pipeline::Pipeline;

/// Which pipeline, and where its lake is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LakeArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE")]
    pub(crate) pipeline: PathBuf,
    /// Where the lake is: a folder, file:///folder or s3://bucket/prefix.
    #[arg(long, value_name = "URL", env = "TRIPLINE_LAKE")]
    pub(crate) lake: String,
    #[command(flatten)]
    pub(crate) stores: StoreArguments,
}

impl LakeArguments {
    /// Loads the pipeline and opens the store; nothing is written.
    pub(crate) async fn open(&self) -> anyhow::Result<(Arc<Pipeline>, Arc<dyn ObjectStore>)> {
        let pipeline = Pipeline::load(&self.pipeline)
            .with_context(|| format!("the pipeline in {} cannot be used", self.pipeline.display()))?;
        Ok((Arc::new(pipeline), self.stores.open(&self.lake).await?))
    }
}

/// How stores are reached.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoreArguments {
    /// URL of an S3-compatible server; without it, AWS's.
    #[arg(long, value_name = "URL", env = "TRIPLINE_S3_ENDPOINT")]
    pub(crate) s3_endpoint: Option<String>,
}

impl StoreArguments {
    /// How to reach an S3 server.
    pub(crate) fn options(&self) -> Result<StoreOptions, StoreError> {
        let mut options = StoreOptions::from_env()?;
        if let Some(endpoint) = &self.s3_endpoint {
            options.path_style |= options.endpoint.is_none();
            options.endpoint = Some(endpoint.clone());
        }
        Ok(options)
    }

    /// Opens a folder, file:///folder or s3://bucket/prefix; nothing is written.
    pub(crate) async fn open(&self, url: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Ok(open(url, &self.options()?).await?)
    }
}

/// How files are written.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FormatArguments {
    /// Write gzip'd JSON lines or Parquet, whatever the pipeline says.
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Parquet,
    Json,
}

impl FormatArguments {
    /// What was asked for, or what the pipeline says.
    pub(crate) fn of(self, pipeline: &Pipeline) -> FileFormat {
        match self.format {
            Some(Format::Parquet) => FileFormat::Parquet,
            Some(Format::Json) => FileFormat::JsonLines,
            None => tripline_publish::file_format(pipeline),
        }
    }

    /// How to publish, for the rest as the pipeline says.
    pub(crate) fn publish_options(self, pipeline: &Pipeline) -> PublishOptions {
        let event_time = EventTimeRules::of(pipeline);
        PublishOptions { format: self.of(pipeline), event_time, ..PublishOptions::default() }
    }
}

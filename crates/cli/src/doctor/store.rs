//! The lake's store: whose it is, what may be done there, and whether it does what the protocol rests on.

use bytes::Bytes;
use tripline_lake::checkpoint::{self, CheckpointError};
use tripline_lake::environment::{Entropy as _, SystemEntropy};
use tripline_lake::identity::{self, IdentityError};
use tripline_lake::schemas;
use tripline_lake::store::{
    Completed, Condition, ErrorKind, MIN_PART_BYTES, ObjectStore, ProbeError, Put, StoreError, probe,
};
use tripline_model::batch::DEAD_LETTER_TABLE;
use tripline_model::pipeline::Pipeline;
use tripline_model::schema::{Definition, Fit};

use super::findings::Findings;
use super::{DoctorArguments, bucket};

const RIGHTS: &str = "rights";

pub(super) async fn check(arguments: &DoctorArguments, pipeline: Option<&Pipeline>, findings: &mut Findings) {
    let lake = &arguments.lake;
    let store = match lake.stores.open(&lake.lake).await {
        Ok(store) => store,
        Err(error) => return findings.fail("lake", format!("{error:#}"), ""),
    };
    let location = store.location();
    if let Err(error) = store.list("", None, 1).await {
        findings.fail("lake", error.to_string(), "");
        for about in [RIGHTS, "store", "bucket"] {
            findings.not_checked(about, "the lake's store cannot be reached");
        }
        return;
    }
    findings.ok("lake", format!("{location} can be listed"));
    match pipeline {
        Some(pipeline) => {
            whose(&*store, &pipeline.id, findings).await;
            columns(&*store, pipeline, findings).await;
        }
        None => findings.not_checked("identity", "the pipeline file cannot be used"),
    }
    if arguments.read_only {
        findings.not_checked(RIGHTS, "--read-only: nothing is written");
        findings.not_checked("store", "--read-only: nothing is written");
    } else if rights(&*store, findings).await {
        conditions(&*store, findings).await;
    } else {
        findings.not_checked("store", "its proof needs the rights that are missing");
    }
    match lake.lake.strip_prefix("s3://") {
        Some(rest) => bucket::check(&lake.stores, rest, findings).await,
        None => findings.not_checked("bucket", "the lake is a folder"),
    }
}

/// Whether the lake is the pipeline's, and its checkpoint can be read.
async fn whose(store: &dyn ObjectStore, pipeline: &str, findings: &mut Findings) {
    match identity::expect(store, pipeline).await {
        Ok(()) => findings.ok("identity", format!("the lake is pipeline {pipeline}'s")),
        Err(IdentityError::NoLake { .. }) => {
            findings.ok("identity", "there is no lake yet: the first batch makes it");
        }
        Err(error) => findings.fail("identity", error.to_string(), ""),
    }
    match checkpoint::load(store, pipeline).await {
        Ok(loaded) if loaded.tag.is_none() => findings.ok("checkpoint", "nothing has been published yet"),
        Ok(loaded) => findings.ok("checkpoint", format!("generation {}", loaded.checkpoint.generation)),
        // Said by its identity.
        Err(CheckpointError::OtherPipeline { .. }) => {}
        Err(error) => findings.fail("checkpoint", error.to_string(), ""),
    }
}

/// Whether the pipeline's columns fit beside those that are in.
async fn columns(store: &dyn ObjectStore, pipeline: &Pipeline, findings: &mut Findings) {
    const ABOUT: &str = "schema";
    let history = match schemas::history(store).await {
        Ok(history) => history,
        Err(error) => return findings.fail(ABOUT, error.to_string(), ""),
    };
    let version = pipeline.schema_version;
    match history.check(&Definition::of(pipeline)) {
        Ok(Fit::Known) => findings.ok(ABOUT, format!("version {version} is known")),
        Ok(Fit::New) => findings.ok(ABOUT, format!("version {version} is new, and fits")),
        Err(refused) => findings.fail(ABOUT, refused.to_string(), "`tripline schema` lists what differs"),
    }
}

/// Does with throw-away objects what the functions do with theirs. Returns whether all of it may be done.
async fn rights(store: &dyn ObjectStore, findings: &mut Findings) -> bool {
    let unique = format!("{:016x}", SystemEntropy.next());
    // Of the second, readers of the table take no notice.
    let (key, file) =
        (format!("_tripline/probe/{unique}/doctor"), format!("{DEAD_LETTER_TABLE}/_doctor-{unique}"));
    let written = single(store, &key).await;
    let uploaded = multipart(store, &file).await;
    let deleted = match store.delete(&key).await {
        Ok(()) => store.delete(&file).await,
        error => error,
    };
    let mut all = true;
    for (what, done) in [
        ("objects can be created and read", written),
        ("files can be uploaded in parts and completed", uploaded),
        ("objects can be deleted", deleted),
    ] {
        match done {
            Ok(()) => findings.ok(RIGHTS, format!("{what}, with the credentials of this command")),
            Err(error) => {
                all = false;
                let fix = match error.kind() {
                    ErrorKind::Denied => {
                        "allow s3:GetObject, s3:PutObject and s3:DeleteObject below the lake and s3:ListBucket on the \
                         bucket; with a key of your own in KMS kms:GenerateDataKey and kms:Decrypt on it"
                    }
                    _ => "",
                };
                findings.fail(RIGHTS, error.to_string(), fix);
            }
        }
    }
    all
}

async fn single(store: &dyn ObjectStore, key: &str) -> Result<(), StoreError> {
    if let Put::Refused = store.put(key, Bytes::from_static(b"doctor"), Condition::Absent).await? {
        // Whether conditions are honoured is checked by the proof; here it is whether one may write.
        return Ok(());
    }
    store.head(key).await?;
    store.get(key).await.map(drop)
}

async fn multipart(store: &dyn ObjectStore, key: &str) -> Result<(), StoreError> {
    let upload = store.start_upload(key).await?;
    let first = store.upload_part(key, &upload, 1, Bytes::from(vec![0; MIN_PART_BYTES])).await?;
    let second = store.upload_part(key, &upload, 2, Bytes::from_static(b"doctor")).await?;
    match store.complete_upload(key, &upload, &[first, second]).await? {
        Completed::Done | Completed::Gone => Ok(()),
    }
}

/// The proof that each lake begins with.
async fn conditions(store: &dyn ObjectStore, findings: &mut Findings) {
    const ABOUT: &str = "store";
    match probe(store, &SystemEntropy).await {
        Ok(()) => {
            findings.ok(ABOUT, "it honours conditional writes, reads back what it wrote and lists in order")
        }
        Err(error @ ProbeError::Unsuitable { .. }) => findings.fail(ABOUT, error.to_string(), ""),
        Err(error @ ProbeError::Store(_)) => findings.not_checked(ABOUT, error.to_string()),
    }
}

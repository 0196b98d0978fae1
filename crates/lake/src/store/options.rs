//! Which store an address means, and how to reach it.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::{ErrorKind, StoreError};
use super::{FolderStore, ObjectStore};

/// How to reach an S3 server. The default is Amazon S3 with the SDK's own configuration (region and
/// credentials from the environment, a profile, or the function's role).
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Another server's URL, for tests, S3-compatible servers and VPC interface endpoints.
    pub endpoint: Option<String>,
    /// Name the bucket in the path and not in the host name, as most other servers need.
    pub path_style: bool,
    /// The region; without it the SDK's, or `us-east-1` at another endpoint.
    pub region: Option<String>,
    /// Keys to use in place of the SDK's own search for credentials.
    pub credentials: Option<Credentials>,
}

/// An access key. Its `Debug` does not show the secret.
#[derive(Clone)]
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// The secret.
    pub secret_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).field("secret_key", &"…").finish()
    }
}

impl StoreOptions {
    /// The options that the environment gives: the endpoint from `TRIPLINE_S3_ENDPOINT`, else the
    /// SDK's `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`; `TRIPLINE_S3_PATH_STYLE` is `true` or
    /// `false`, and true by default at another endpoint.
    pub fn from_env() -> Result<Self, StoreError> {
        Self::from_lookup(|name| env::var(name).ok())
    }

    /// [`from_env`](Self::from_env) with the variables from elsewhere.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let endpoint =
            ["TRIPLINE_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(set);
        let path_style = match set("TRIPLINE_S3_PATH_STYLE").as_deref() {
            None => endpoint.is_some(),
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => {
                return Err(StoreError::new(
                    ErrorKind::Invalid,
                    "use",
                    "TRIPLINE_S3_PATH_STYLE",
                    format!("it is '{other}'"),
                    "set it to true or false",
                ));
            }
        };
        Ok(Self { endpoint, path_style, region: None, credentials: None })
    }
}

/// Opens the store at `url`: `s3://bucket/prefix`, `file:///folder` (percent-encoded), or a folder's
/// path. Nothing is asked of a server yet, and no folder is made before the first write.
pub async fn open(url: &str, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match Address::parse(url)? {
        Address::S3 { bucket, prefix } => open_s3(&bucket, &prefix, options).await,
        Address::Folder(path) => Ok(Arc::new(FolderStore::new(path)?)),
    }
}

#[cfg(feature = "s3")]
async fn open_s3(
    bucket: &str,
    prefix: &str,
    options: &StoreOptions,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Ok(Arc::new(super::S3Store::connect(bucket, prefix, options).await?))
}

#[cfg(not(feature = "s3"))]
async fn open_s3(bucket: &str, prefix: &str, _: &StoreOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let place = format!("s3://{bucket}/{prefix}");
    let advice = "build it with the feature `s3`";
    Err(StoreError::new(ErrorKind::Invalid, "open", place, "this program was built without S3", advice))
}

#[derive(Debug, PartialEq, Eq)]
enum Address {
    S3 { bucket: String, prefix: String },
    Folder(PathBuf),
}

impl Address {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let invalid = |reason: &str| {
            StoreError::new(
                ErrorKind::Invalid,
                "open",
                format!("the store '{url}'"),
                reason,
                "give s3://bucket/prefix, file:///folder or the path of a folder",
            )
        };
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(invalid("it names no bucket"));
            }
            let prefix = prefix.trim_end_matches('/');
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        if let Some(rest) = url.strip_prefix("file://") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(invalid("a file URL has an absolute path"));
            }
            let path = percent_decoded(path).ok_or_else(|| invalid("its % escapes are wrong"))?;
            return Ok(Self::Folder(PathBuf::from(path)));
        }
        if url.contains("://") {
            return Err(invalid("its scheme is not known"));
        }
        if url.is_empty() {
            return Err(invalid("it is empty"));
        }
        Ok(Self::Folder(PathBuf::from(url)))
    }
}

/// `None` when an escape is not two hex digits or the result is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_a_bucket_with_a_prefix_or_a_folder() {
        let s3 =
            |bucket: &str, prefix: &str| Address::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        assert_eq!(Address::parse("s3://trips").unwrap(), s3("trips", ""));
        assert_eq!(Address::parse("s3://trips/lake/a b/").unwrap(), s3("trips", "lake/a b"));
        assert_eq!(Address::parse("out/lake").unwrap(), Address::Folder("out/lake".into()));
        let decoded = Address::parse("file:///data/a%20b/%C3%A9").unwrap();
        assert_eq!(decoded, Address::Folder("/data/a b/é".into()));
    }

    #[test]
    fn other_addresses_are_refused_with_what_to_write_instead() {
        for url in ["", "s3://", "s3:///x", "gs://b/p", "file://x/y", "file:///a%2", "file:///%zz"] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
        }
    }

    #[test]
    fn the_projects_own_endpoint_variable_comes_before_the_sdks() {
        let from = |set: &[(&str, &str)]| {
            StoreOptions::from_lookup(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let none = from(&[]).unwrap();
        assert_eq!((none.endpoint, none.path_style), (None, false));
        let sdk = ("AWS_ENDPOINT_URL_S3", "http://sdk");
        let both = from(&[sdk, ("TRIPLINE_S3_ENDPOINT", "http://own")]).unwrap();
        assert_eq!((both.endpoint.as_deref(), both.path_style), (Some("http://own"), true));
        let host = from(&[sdk, ("TRIPLINE_S3_PATH_STYLE", "false")]).unwrap();
        assert_eq!((host.endpoint.as_deref(), host.path_style), (Some("http://sdk"), false));
        assert!(from(&[("TRIPLINE_S3_PATH_STYLE", "yes")]).is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let credentials = Credentials { access_key: "AKID".to_owned(), secret_key: "hush".to_owned() };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}

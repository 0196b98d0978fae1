//! Finds where a domain of Amazon OpenSearch Service is.

use aws_config::SdkConfig;
use aws_sdk_opensearch::Client;
use aws_sdk_opensearch::error::DisplayErrorContext;

/// A domain's endpoint cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// The service does not say.
    #[error(
        "cannot look up the domain `{name}`: {reason}; check its name and region, and the right es:DescribeDomain"
    )]
    Refused {
        /// Its name.
        name: String,
        /// What the service said.
        reason: String,
    },
    /// It has no endpoint yet.
    #[error("the domain `{name}` has no endpoint: wait until it has been created")]
    NoEndpoint {
        /// Its name.
        name: String,
    },
}

/// The URL of the domain `name`: within its VPC if it is in one.
///
/// # Errors
/// [`DomainError`].
pub async fn endpoint_of_domain(name: &str, config: &SdkConfig) -> Result<String, DomainError> {
    let found = Client::new(config).describe_domain().domain_name(name).send().await;
    let found = found.map_err(|error| DomainError::Refused {
        name: name.to_owned(),
        reason: DisplayErrorContext(&error).to_string(),
    })?;
    let status = found.domain_status();
    let public = status.and_then(|status| status.endpoint());
    let private = status.and_then(|status| status.endpoints()?.get("vpc").map(String::as_str));
    match public.or(private) {
        Some(endpoint) => Ok(format!("https://{endpoint}")),
        None => Err(DomainError::NoEndpoint { name: name.to_owned() }),
    }
}

//! AWS credentials and region, as the SDK finds them.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_s3::error::DisplayErrorContext;

use super::findings::Findings;
use crate::status::duration;

const ABOUT: &str = "credentials";
/// A provider that asks a server has so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What ends sooner ends within a piece of work.
const SOON: Duration = Duration::from_secs(15 * 60);

pub(super) async fn check(findings: &mut Findings) {
    let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
    match config.region() {
        Some(region) => findings.ok("region", region.to_string()),
        None => findings.fail("region", "none is known", "set AWS_REGION, or a region in the profile"),
    }
    let Some(provider) = config.credentials_provider() else {
        return findings.fail(ABOUT, "the SDK has no provider of them", "set AWS_PROFILE, or keys");
    };
    match tokio::time::timeout(PATIENCE, provider.provide_credentials()).await {
        Ok(Ok(credentials)) => judge(&credentials, findings),
        Ok(Err(error)) => findings.fail(
            ABOUT,
            DisplayErrorContext(error).to_string(),
            "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in (`aws sso login`)",
        ),
        Err(_) => findings.fail(
            ABOUT,
            format!("their provider does not answer within {}", duration(PATIENCE)),
            "set AWS_PROFILE or keys, or AWS_EC2_METADATA_DISABLED=true where there is no metadata service",
        ),
    }
}

fn judge(credentials: &Credentials, findings: &mut Findings) {
    let by = by(credentials);
    match credentials.expiry().map(|at| at.duration_since(SystemTime::now())) {
        None => findings.ok(ABOUT, format!("found {by}, without an end")),
        Some(Ok(left)) if left > SOON => {
            findings.ok(ABOUT, format!("found {by}, good for another {}", duration(left)));
        }
        Some(Ok(left)) => findings.warn(
            ABOUT,
            format!("found {by}, good for another {} only", duration(left)),
            "get new ones before longer work",
        ),
        Some(Err(_)) => findings.fail(ABOUT, format!("found {by}, and past their end"), "get new ones"),
    }
}

/// Where they are from, in words.
fn by(credentials: &Credentials) -> &'static str {
    let features = credentials.get_property::<Vec<Feature>>();
    match features.and_then(|features| features.last()) {
        Some(Feature::CredentialsEnvVars) => "in the environment (AWS_ACCESS_KEY_ID)",
        Some(Feature::CredentialsProfile) => "in a profile",
        Some(Feature::CredentialsSso | Feature::CredentialsProfileSso) => "by single sign-on",
        Some(Feature::CredentialsHttp) => "at the container's endpoint",
        Some(Feature::CredentialsImds) => "at the instance's metadata service",
        Some(Feature::CredentialsProcess | Feature::CredentialsProfileProcess) => {
            "by a process of the profile"
        }
        Some(Feature::CredentialsStsAssumeRole | Feature::CredentialsStsAssumeRoleWebId) => {
            "by assuming a role"
        }
        _ => "by the SDK's chain",
    }
}

//! Tokens for Amazon MSK's IAM access control: a presigned request to connect, which a broker carries out.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::meta::region::RegionProviderChain;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use crate::options::{Token, TokenSource};

/// How long a token is good for, as Amazon's own signers have it.
const GOOD_FOR: Duration = Duration::from_secs(900);

/// After which a look for credentials is given up.
const LOOK_FOR: Duration = Duration::from_secs(20);

const USER_AGENT: &str = concat!("tripline/", env!("CARGO_PKG_VERSION"));

/// Makes tokens from the default chain's credentials.
#[derive(Debug)]
pub(crate) struct MskTokens {
    region: Option<String>,
    role: Option<String>,
}

impl MskTokens {
    pub(crate) const fn new(region: Option<String>, role: Option<String>) -> Self {
        Self { region, role }
    }

    async fn fetch(&self) -> Result<Token, String> {
        let region =
            RegionProviderChain::first_try(self.region.clone().map(Region::new)).or_default_provider();
        let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let region = config.region().ok_or(
            "the region of the Amazon MSK cluster is not known: set TRIPLINE_KAFKA_REGION or AWS_REGION",
        )?;
        let credentials = match &self.role {
            None => {
                let provider = config.credentials_provider().ok_or("there are no AWS credentials")?;
                provider.provide_credentials().await
            }
            Some(role) => {
                let provider = AssumeRoleProvider::builder(role).session_name("tripline").configure(&config);
                provider.build().await.provide_credentials().await
            }
        };
        let credentials = credentials.map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("no AWS credentials for Amazon MSK: {error}{cause}")
        })?;
        token(&credentials, region.as_ref(), SystemTime::now())
    }
}

impl TokenSource for MskTokens {
    /// On a thread and a runtime of its own: the caller is a thread of librdkafka's, and the function's own
    /// runtime has but one thread, which need not be turning.
    fn token(&self) -> Result<Token, String> {
        thread::scope(|scope| {
            let fetch = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime =
                    runtime.map_err(|error| format!("no runtime to get AWS credentials in: {error}"))?;
                runtime.block_on(async {
                    tokio::time::timeout(LOOK_FOR, self.fetch()).await.map_err(|_| {
                        format!("AWS credentials for Amazon MSK did not come within {} s", LOOK_FOR.as_secs())
                    })?
                })
            });
            fetch.join().map_err(|_| "the thread that gets AWS credentials panicked".to_owned())?
        })
    }
}

/// The token for these credentials as of `now`.
fn token(credentials: &Credentials, region: &str, now: SystemTime) -> Result<Token, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(GOOD_FOR);
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| format!("the request to connect cannot be signed: {error}"))?;
    let host = format!("kafka.{region}.amazonaws.com");
    let mut url = format!("https://{host}/?Action=kafka-cluster%3AConnect");
    let request = SignableRequest::new(
        "GET",
        url.as_str(),
        [("host", host.as_str())].into_iter(),
        SignableBody::Bytes(&[]),
    )
    .map_err(|error| format!("the request to connect cannot be signed: {error}"))?;
    let (instructions, _) = sign(request, &parameters.into())
        .map_err(|error| format!("the request to connect cannot be signed: {error}"))?
        .into_parts();
    for (name, value) in instructions.params() {
        url.push('&');
        url.push_str(name);
        url.push('=');
        push_encoded(&mut url, value);
    }
    // Brokers log it. It is not part of what is signed.
    url.push_str("&User-Agent=");
    push_encoded(&mut url, USER_AGENT);
    let good_until = credentials.expiry().map_or(now + GOOD_FOR, |expiry| expiry.min(now + GOOD_FOR));
    let expires_ms = good_until.duration_since(UNIX_EPOCH).map(|since| since.as_millis()).unwrap_or_default();
    Ok(Token {
        token: base64_simd::URL_SAFE_NO_PAD.encode_to_string(url.as_bytes()),
        principal: "tripline".to_owned(),
        expires_ms: i64::try_from(expires_ms).unwrap_or(i64::MAX),
    })
}

fn push_encoded(url: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn url(token: &Token) -> String {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token.token.as_bytes()).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Parameters in the order of their names, as those who only compare want them.
    fn parameters(url: &str) -> Vec<&str> {
        let (_, query) = url.split_once('?').unwrap();
        let mut parameters: Vec<&str> = query.split('&').collect();
        parameters.sort_unstable();
        parameters
    }

    #[test]
    fn tokens_are_what_amazons_own_arithmetic_makes_of_the_same_credentials() {
        let vectors = include_str!("../tests/msk/vectors.tsv");
        let mut seen = 0;
        for line in vectors.lines() {
            let [region, access, secret, session, seconds, expected] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let session = (!session.is_empty()).then(|| session.to_owned());
            let credentials = Credentials::new(access, secret, session, None, "test");
            let now = UNIX_EPOCH + Duration::from_secs(seconds.parse().unwrap());
            let url = url(&token(&credentials, region, now).unwrap());
            let (signed, agent) = url.rsplit_once("&User-Agent=").unwrap();
            assert_eq!(agent.replace("%2F", "/"), USER_AGENT);
            assert_eq!(parameters(signed), parameters(expected), "{region}");
            assert_eq!(signed.split_once('?').unwrap().0, expected.split_once('?').unwrap().0);
            seen += 1;
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn a_token_lasts_fifteen_minutes_and_no_longer_than_its_credentials() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (expiry, expected) in
            [(None, 1_000_900_000), (Some(300), 1_000_300_000), (Some(9000), 1_000_900_000)]
        {
            let expiry = expiry.map(|seconds| now + Duration::from_secs(seconds));
            let credentials = Credentials::new("AKIDTEST", "secret", None, expiry, "test");
            assert_eq!(token(&credentials, "eu-west-1", now).unwrap().expires_ms, expected);
        }
    }
}

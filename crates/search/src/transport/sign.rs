//! Proves who sends a request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};

use crate::options::{Auth, Service};

/// Credentials are asked for anew this long before they expire, and after as long where they do not say
/// when they do.
const FRESH: Duration = Duration::from_secs(300);

/// Adds to requests what proves their sender.
#[derive(Debug)]
pub(super) enum Signer {
    None,
    Basic(HeaderValue),
    SigV4(Box<SigV4>),
}

/// Signs by AWS Signature Version 4.
#[derive(Debug)]
pub(super) struct SigV4 {
    service: Service,
    region: String,
    provider: SharedCredentialsProvider,
    /// The credentials at hand and until when they are used, milliseconds since 1970 UTC.
    known: Mutex<Option<(Credentials, i64)>>,
}

impl Signer {
    /// `None` only with a fault noted.
    pub(super) async fn new(auth: &Auth, faults: &mut Vec<String>) -> Option<Self> {
        match auth {
            Auth::None => Some(Self::None),
            Auth::Basic { user, password } => {
                if user.contains(':') || user.is_empty() {
                    faults.push("the user of basic authentication is empty or has a colon in it".to_owned());
                    return None;
                }
                let value = format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
                let mut value = HeaderValue::try_from(value).ok()?;
                value.set_sensitive(true);
                Some(Self::Basic(value))
            }
            Auth::SigV4(options) => {
                let mut loader = aws_config::defaults(BehaviorVersion::latest());
                if let Some(region) = &options.region {
                    loader = loader.region(Region::new(region.clone()));
                }
                if let Some(credentials) = &options.credentials {
                    loader = loader.credentials_provider(credentials.clone());
                }
                let found = loader.load().await;
                let region = found.region().map(|region| region.as_ref().to_owned());
                if region.is_none() {
                    faults
                        .push("requests are to be signed, and there is no region: set AWS_REGION".to_owned());
                }
                let provider = found.credentials_provider();
                if provider.is_none() {
                    faults.push(
                        "requests are to be signed, and there is nothing to find credentials with".to_owned(),
                    );
                }
                let known = Mutex::new(None);
                let signer = SigV4 { service: options.service, region: region?, provider: provider?, known };
                Some(Self::SigV4(Box::new(signer)))
            }
        }
    }

    /// Signs a request with this body as sent at `now_ms`.
    pub(super) async fn sign(
        &self,
        request: &mut Request<()>,
        body: &[u8],
        now_ms: i64,
    ) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Basic(value) => {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                Ok(())
            }
            Self::SigV4(signer) => {
                let credentials = signer.credentials(now_ms).await?;
                signer.sign(request, body, credentials, now_ms)
            }
        }
    }

    /// Asks for credentials anew before the next request.
    pub(super) fn forget(&self) {
        if let Self::SigV4(signer) = self {
            *signer.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl SigV4 {
    async fn credentials(&self, now_ms: i64) -> Result<Credentials, String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((credentials, _)) = known.filter(|(_, until_ms)| now_ms < *until_ms) {
            return Ok(credentials);
        }
        let found = self.provider.provide_credentials().await;
        let found = found.map_err(|error| format!("there are no credentials to sign with: {error}"))?;
        let fresh_ms = i64::try_from(FRESH.as_millis()).unwrap_or_default();
        let until_ms = match found.expiry().and_then(|expiry| expiry.duration_since(UNIX_EPOCH).ok()) {
            Some(expiry) => i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX).saturating_sub(fresh_ms),
            None => now_ms.saturating_add(fresh_ms),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((found.clone(), until_ms));
        Ok(found)
    }

    fn sign(
        &self,
        request: &mut Request<()>,
        body: &[u8],
        credentials: Credentials,
        now_ms: i64,
    ) -> Result<(), String> {
        let since_epoch = Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
        let mut settings = SigningSettings::default();
        // Serverless wants the body's hash as a header of its own; domains do not mind it.
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.name())
            .time(SystemTime::UNIX_EPOCH + since_epoch)
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let uri = request.uri().to_string();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable =
            SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::Bytes(body));
        let signed = signable.and_then(|signable| sign(signable, &parameters));
        let (instructions, _) =
            signed.map_err(|error| format!("the request cannot be signed: {error}"))?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |sextet: u32| char::from(DIGITS.get((sextet & 63) as usize).copied().unwrap_or(b'='));
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let triple = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            text.push(if at <= chunk.len() { digit(triple >> shift) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("admin:admin", "YWRtaW46YWRtaW4="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}

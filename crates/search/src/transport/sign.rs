//! Proves who sends a request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

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
                let mut value = HeaderValue::try_from(basic(&format!("{user}:{password}"))).ok()?;
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
                // Serverless wants the body's hash as a header of its own; domains do not mind it.
                let hash_header = PayloadChecksumKind::XAmzSha256;
                let good_for = For { service: signer.service.name(), region: &signer.region, hash_header };
                sign_request(request, body, credentials, &good_for, now_ms)
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
}

/// What a signature is good for.
struct For<'f> {
    service: &'f str,
    region: &'f str,
    /// The body's hash goes into a header.
    hash_header: PayloadChecksumKind,
}

fn sign_request(
    request: &mut Request<()>,
    body: &[u8],
    credentials: Credentials,
    good_for: &For<'_>,
    now_ms: i64,
) -> Result<(), String> {
    let since_epoch = Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = good_for.hash_header;
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(good_for.region)
        .name(good_for.service)
        .time(UNIX_EPOCH + since_epoch)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let uri = request.uri().to_string();
    let headers =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, SignableBody::Bytes(body));
    let signed = signable.and_then(|signable| sign(signable, &parameters));
    let (instructions, _) =
        signed.map_err(|error| format!("the request cannot be signed: {error}"))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// The header's value for basic authentication.
fn basic(credentials: &str) -> String {
    format!("Basic {}", base64_simd::STANDARD.encode_to_string(credentials))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A vector of AWS's published test suite for Signature Version 4: `aws-signing-test-suite/v4`.
    struct Vector {
        name: &'static str,
        method: &'static str,
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: Option<&'static str>,
        token: Option<&'static str>,
        signed_headers: &'static str,
        signature: &'static str,
    }

    const GET: Vector = Vector {
        name: "get-vanilla",
        method: "GET",
        path: "/",
        headers: &[],
        body: None,
        token: None,
        signed_headers: "host;x-amz-date",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    };
    const FORM: Vector = Vector {
        name: "post-x-www-form-urlencoded",
        method: "POST",
        headers: &[("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "13")],
        body: Some("Param1=value1"),
        signed_headers: "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        ..GET
    };

    const VECTORS: [Vector; 14] = [
        GET,
        FORM,
        Vector {
            name: "get-vanilla-with-session-token",
            token: Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"),
            signed_headers: "host;x-amz-date;x-amz-security-token",
            signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ..GET
        },
        Vector {
            name: "get-vanilla-query-order-key-case",
            path: "/?Param2=value2&Param1=value1",
            signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ..GET
        },
        Vector {
            name: "get-vanilla-query-order-encoded",
            path: "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ..GET
        },
        Vector {
            name: "get-vanilla-utf8-query",
            path: "/?%E1%88%B4=bar",
            signature: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
            ..GET
        },
        Vector {
            name: "get-unreserved",
            path: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            signature: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ..GET
        },
        Vector {
            name: "get-slashes-normalized",
            path: "//example//",
            signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ..GET
        },
        Vector {
            name: "get-relative-normalized",
            path: "/example/..",
            signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ..GET
        },
        Vector {
            name: "get-header-value-trim",
            headers: &[("My-Header1", "value1"), ("My-Header2", "\"a   b   c\"")],
            signed_headers: "host;my-header1;my-header2;x-amz-date",
            signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ..GET
        },
        Vector {
            name: "post-vanilla",
            method: "POST",
            signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ..GET
        },
        Vector {
            name: "post-vanilla-query",
            method: "POST",
            path: "/?Param1=value1",
            signature: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ..GET
        },
        Vector {
            name: "post-header-key-sort",
            method: "POST",
            headers: &[("My-Header1", "value1")],
            signed_headers: "host;my-header1;x-amz-date",
            signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ..GET
        },
        Vector {
            name: "post-x-www-form-urlencoded-parameters",
            headers: &[
                ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("Content-Length", "13"),
            ],
            signature: "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
            ..FORM
        },
    ];

    /// 2015-08-30T12:36:00Z.
    const SIGNED_AT: i64 = 1_440_938_160_000;

    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        for vector in VECTORS {
            let uri = format!("https://example.amazonaws.com{}", vector.path);
            let mut request = Request::builder().method(vector.method).uri(uri);
            for (name, value) in vector.headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(()).unwrap();
            let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            let token = vector.token.map(str::to_owned);
            let credentials = Credentials::new("AKIDEXAMPLE", secret, token, None, "vectors");
            let hash_header = match vector.body {
                Some(_) => PayloadChecksumKind::XAmzSha256,
                None => PayloadChecksumKind::NoHeader,
            };
            let good_for = For { service: "service", region: "us-east-1", hash_header };
            let body = vector.body.unwrap_or_default().as_bytes();
            sign_request(&mut request, body, credentials, &good_for, SIGNED_AT).unwrap();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={}, Signature={}",
                vector.signed_headers, vector.signature
            );
            let signed = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
            assert_eq!(signed, expected, "{}", vector.name);
            assert_eq!(request.headers().get("x-amz-date").unwrap(), "20150830T123600Z");
        }
    }

    #[test]
    fn credentials_are_in_the_base64_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("admin:admin", "YWRtaW46YWRtaW4="),
        ] {
            assert_eq!(basic(text), format!("Basic {expected}"));
        }
    }
}

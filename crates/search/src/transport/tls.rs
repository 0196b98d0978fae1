//! Whom a connection trusts.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::options::SearchOptions;

/// The system's certificates and those of the options' file. Without a secure host none are read. `None` only
/// with a fault noted.
pub(super) fn configuration(
    options: &SearchOptions,
    secure: bool,
    faults: &mut Vec<String>,
) -> Option<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = match ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
    {
        Ok(builder) => builder,
        Err(error) => {
            faults.push(format!("there is no TLS to be had: {error}"));
            return None;
        }
    };
    if options.allow_insecure {
        if secure {
            tracing::warn!(
                "certificates of the search cluster are not verified: anybody on the way can read and change \
                 what is sent"
            );
        }
        let verifier = Arc::new(Anybody(provider));
        return Some(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_bundle {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match found {
            Ok(found) if !found.is_empty() => {
                let (added, _) = roots.add_parsable_certificates(found);
                if added == 0 {
                    faults.push(format!("no certificate in {} can be used", path.display()));
                }
            }
            Ok(_) => faults.push(format!("there is no certificate in {}: it must be PEM", path.display())),
            Err(error) => faults.push(format!("cannot read certificates from {}: {error}", path.display())),
        }
    }
    if secure {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let errors: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
            faults.push(format!(
                "the system has no certificates to trust ({}): give a file of them",
                errors.join(", ")
            ));
        }
    }
    Some(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes anybody for the server.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

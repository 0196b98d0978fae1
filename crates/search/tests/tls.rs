//! Whom a delivery trusts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use support::double::Double;
use support::{deliver, options, sink, undelivered, visit, visits};
use tripline_search::SearchOptions;

/// An authority of its own, as PEM, and a server for `name` that it vouches for.
fn authority_and_server(name: &str) -> (String, Arc<ServerConfig>) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority.pem(), Arc::new(config))
}

#[tokio::test]
async fn a_certificate_must_be_vouched_for_by_the_system_or_the_file_unless_told_otherwise() {
    let (authority, server) = authority_and_server("localhost");
    let (_, stranger) = authority_and_server("localhost");
    let (other_name, elsewhere) = authority_and_server("search.example.com");
    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (authority, other_name) = (file("ca.pem", &authority), file("other.pem", &other_name));
    for (server, ca_bundle, allow_insecure, expected) in [
        (&server, Some(&authority), false, None),
        (&server, None, false, Some("UnknownIssuer")),
        (&server, None, true, None),
        (&stranger, Some(&authority), false, Some("invalid peer certificate")),
        (&elsewhere, Some(&other_name), false, Some("not valid for name")),
        (&elsewhere, Some(&other_name), true, None),
    ] {
        let double = Double::start_secure(Arc::clone(server), |_, bulk| bulk.answer(|_| 201));
        let url = double.url.replace("127.0.0.1", "localhost");
        let options = SearchOptions { ca_bundle: ca_bundle.cloned(), allow_insecure, ..options(&url) };
        let seconds = if expected.is_none() { 20 } else { 2 };
        let delivered = deliver(&sink(&visits("a", ""), options).await, &[visit(1, "")], seconds).await;
        match (expected, undelivered(&delivered)) {
            (None, None) => assert_eq!(delivered.counts.created, 1),
            (Some(expected), Some((0, why))) => {
                assert!(why.contains(expected), "{why}\nshould have {expected}");
                assert!(double.requests().is_empty());
            }
            (expected, found) => panic!("{expected:?}, and not {found:?}"),
        }
    }
    let empty = SearchOptions { ca_bundle: Some(file("empty.pem", "")), ..options("https://localhost:1") };
    let error = tripline_search::SearchSink::connect(visits("a", ""), empty, support::environment()).await;
    assert!(error.unwrap_err().to_string().contains("there is no certificate in"));
}

//! A domain's endpoint by its name, asked of a double of the service.
#![cfg(feature = "domain-lookup")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use tripline_search::endpoint_of_domain;

/// A service that answers every request so, until the test ends.
async fn service(status: u16, body: &'static str) -> SdkConfig {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
            assert!(head.starts_with("GET /2021-01-01/opensearch/domain/trips "), "{head}");
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    let credentials = Credentials::new("AKIDTEST", "secrettest", None, None, "test");
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await
}

#[tokio::test]
async fn a_domain_is_found_by_its_name_in_its_vpc_or_outside() {
    for (body, expected) in [
        (
            r#"{"DomainStatus": {"Endpoint": "search-trips-x.eu-north-1.es.amazonaws.com"}}"#,
            "https://search-trips-x.eu-north-1.es.amazonaws.com",
        ),
        (
            r#"{"DomainStatus": {"Endpoints": {"vpc": "vpc-trips-x.eu-north-1.es.amazonaws.com"}}}"#,
            "https://vpc-trips-x.eu-north-1.es.amazonaws.com",
        ),
    ] {
        assert_eq!(endpoint_of_domain("trips", &service(200, body).await).await.unwrap(), expected);
    }
    let error =
        endpoint_of_domain("trips", &service(200, r#"{"DomainStatus": {}}"#).await).await.unwrap_err();
    assert_eq!(error.to_string(), "the domain `trips` has no endpoint: wait until it has been created");
    let gone = r#"{"message": "Domain not found: trips"}"#;
    let error = endpoint_of_domain("trips", &service(409, gone).await).await.unwrap_err();
    assert!(error.to_string().contains("Domain not found: trips"), "{error}");
}

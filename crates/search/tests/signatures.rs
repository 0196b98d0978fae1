//! Signed deliveries, checked by a verifier that is not ours before a real OpenSearch node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::Value;
use support::{deliver, now_ms, options, sink, undelivered, visit, visits};
use tripline_search::{Auth, Environment, SearchOptions, SearchSink, Service, SigV4};
use tripline_test_support::{OpenSearch, SigV4Proxy, or_left_out};

fn signed(url: &str, service: Service, region: &str, secret: &str, token: Option<&str>) -> SearchOptions {
    let credentials =
        Credentials::new(SigV4Proxy::ACCESS_KEY, secret, token.map(str::to_owned), None, "test");
    let signing = SigV4 {
        service,
        region: Some(region.to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
    };
    SearchOptions { auth: Auth::SigV4(signing), ..options(url) }
}

fn stats(proxy: &SigV4Proxy) -> Value {
    serde_json::from_str(&proxy.stats().unwrap().body).unwrap()
}

fn payloads() -> Vec<String> {
    (0..2_000).map(|number| visit(number, &format!(", \"who\": \"{}\"", "w".repeat(3_000)))).collect()
}

#[tokio::test]
async fn what_is_signed_rightly_passes_compressed_or_not_in_several_requests() {
    let Some(server) = OpenSearch::shared_for("what_is_signed_rightly") else { return };
    for (service, gzip, token) in [
        (Service::Es, true, None),
        (Service::Es, false, Some(SigV4Proxy::TOKEN)),
        (Service::Aoss, true, None),
    ] {
        let proxy = SigV4Proxy::start(server.url(), service.name(), token.is_some());
        let Some(proxy) = or_left_out("what_is_signed_rightly", proxy) else { return };
        let right = signed(proxy.url(), service, SigV4Proxy::REGION, SigV4Proxy::SECRET_KEY, token);
        let options = SearchOptions { gzip, max_bytes: 2 << 20, ..right };
        let delivered = deliver(&sink(&visits("signed", ""), options).await, &payloads(), 60).await;
        assert!(delivered.undelivered.is_none(), "{:?}", delivered.undelivered);
        assert_eq!(delivered.counts.created + delivered.counts.updated, 2_000);
        let stats = stats(&proxy);
        assert_eq!(stats["refused"], 0, "{stats}");
        assert_eq!(stats["accepted"].as_u64(), Some(delivered.counts.requests));
        let largest = stats["largest"].as_u64().unwrap();
        assert!((1 << 20..=2 << 20).contains(&largest), "{largest}");
    }
}

#[tokio::test]
async fn what_is_signed_wrongly_is_the_operator_s_fault_and_nothing_else() {
    let Some(server) = OpenSearch::shared_for("what_is_signed_wrongly") else { return };
    let Some(proxy) = or_left_out("what_is_signed_wrongly", SigV4Proxy::start(server.url(), "es", false))
    else {
        return;
    };
    let (url, region, secret) = (proxy.url(), SigV4Proxy::REGION, SigV4Proxy::SECRET_KEY);
    let payloads = payloads();
    for (wrong, expected) in [
        (
            signed(url, Service::Es, region, "another secret", None),
            "does not match the signature you provided",
        ),
        (signed(url, Service::Es, "us-east-1", secret, None), "scoped to eu-north-1/es, not us-east-1/es"),
        (signed(url, Service::Aoss, region, secret, None), "scoped to eu-north-1/es, not eu-north-1/aoss"),
        (signed(url, Service::Es, region, secret, Some("token")), "The session token included"),
        (options(url), "Missing Authentication Token"),
    ] {
        let delivered = deliver(&sink(&visits("unsigned", ""), wrong).await, &payloads[..3], 30).await;
        let (record, why) = undelivered(&delivered).unwrap();
        assert!(
            record == 0 && why.contains("403") && why.contains(expected),
            "{why}\nshould have {expected}"
        );
        assert!(why.contains("check region and service of the signature, the clock"), "{why}");
        assert!(delivered.refused.is_empty() && !why.contains(secret));
        assert_eq!(delivered.counts.requests, 1, "it is not tried again");
    }
    // A clock that is off by more than the verifier allows.
    let environment = Environment::new(|| now_ms() - 600_000, || 7);
    let right = signed(url, Service::Es, region, secret, None);
    let late = SearchSink::connect(visits("unsigned", ""), right, environment).await.unwrap();
    let delivered = late.deliver(&support::origin(), &support::records(1, &payloads[..1]), now_ms()).await;
    assert!(undelivered(&delivered).unwrap().1.contains("Signature expired"), "{:?}", delivered.undelivered);
    assert_eq!(stats(&proxy)["accepted"], 0);
}

#[tokio::test]
async fn each_attempt_is_signed_anew() {
    let Some(server) = OpenSearch::shared_for("each_attempt_is_signed_anew") else { return };
    let Some(proxy) =
        or_left_out("each_attempt_is_signed_anew", SigV4Proxy::start(server.url(), "es", false))
    else {
        return;
    };
    server.request("PUT", "/anew-visit", "{}").unwrap();
    let full = |on: &str| format!("{{\"index.blocks.read_only_allow_delete\": {on}}}");
    server.request("PUT", "/anew-visit/_settings", &full("true")).unwrap();
    let right = signed(proxy.url(), Service::Es, SigV4Proxy::REGION, SigV4Proxy::SECRET_KEY, None);
    let sink = sink(&visits("anew", ""), right).await;
    let payloads = [visit(1, "")];
    let freeing = async {
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        server.request("PUT", "/anew-visit/_settings", &full("null")).unwrap();
    };
    let (delivered, ()) = tokio::join!(deliver(&sink, &payloads, 30), freeing);
    assert!(delivered.undelivered.is_none(), "{:?}", delivered.undelivered);
    let stats = stats(&proxy);
    assert!(stats["accepted"].as_u64() > Some(5) && stats["refused"] == 0, "{stats}");
}

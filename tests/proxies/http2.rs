//! Refused uploads over HTTP/2, without a proxy between.

use reqwest::{Client, StatusCode, Version};
use tollgate::HttpOptions;

use crate::service::Service;

/// More of them than the windows of a connection hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_ends_its_stream_alone() {
    let service = Service::start(1, HttpOptions::new()).await;
    let server = &service.servers[0];
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let peer = async || {
        let response = client.get(server.url("/peer")).send().await.unwrap();
        response.text().await.unwrap()
    };
    let connection = peer().await;
    let upload = async |bytes: usize| {
        client.post(server.url("/upload")).body(vec![b'x'; bytes]).send().await
    };
    assert_eq!(upload(1).await.unwrap().status(), StatusCode::OK);
    for bytes in [1, 65_000, 130_000, 260_000, 500_000, 1_000_000, 20_000_000] {
        for _ in 0..20 {
            let response = upload(bytes).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{bytes} bytes");
            assert_eq!(response.headers().get("connection"), None, "{bytes} bytes");
            assert_eq!(peer().await, connection, "{bytes} bytes");
        }
    }
    drop(client);
    service.stop().await;
}

//! Examples that serve until they are told to end.

use std::fs;
use std::time::Duration;

use reqwest::{Client, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::example::{Example, Running};
use support::redis::RedisServer;

/// How long a service may take to notice that its file has changed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many of `count` requests are admitted.
async fn admitted(client: &Client, url: &str, count: usize) -> usize {
    let mut admitted = 0;
    for _ in 0..count {
        let response = client.get(url).send().await.unwrap();
        match response.status().as_u16() {
            200 => admitted += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    admitted
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

#[tokio::test]
async fn quickstart_says_no_the_sixth_time() {
    let mut example =
        Example::new("quickstart").variable("PORT", "0").variable("METRICS_PORT", "0").start();
    let address = example.line_with("http://");
    let address = address.split(". Try").next().unwrap();
    let (client, url) = (Client::new(), format!("http://{address}/"));
    assert_eq!(admitted(&client, &url, 5).await, 5);
    let refused = client.get(&url).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(header(&refused, "retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(header(&refused, "ratelimit-policy"), "\"greet\";q=5;w=10");
    let health = client.get(format!("{url}health")).send().await.unwrap();
    assert_eq!(health.text().await.unwrap(), "ok\n");
    example.signal("INT");
    example.finish();
}

/// The document says what the service then answers.
#[tokio::test]
async fn openapi_tells_what_is_refused() {
    let mut example = Example::new("openapi").variable("PORT", "0").start();
    let address = example.line_with("http://");
    let address = address.split(". Try").next().unwrap();
    let client = Client::new();
    let document = client.get(format!("http://{address}/openapi.json")).send().await.unwrap();
    let document: serde_json::Value =
        serde_json::from_str(&document.text().await.unwrap()).unwrap();
    let told = &document["paths"]["/orders"]["get"]["responses"]["429"];
    assert!(told["headers"]["Retry-After"].is_object(), "{document}");
    let url = format!("http://{address}/orders");
    let order = async || client.get(&url).header("x-api-key", "me").send().await.unwrap();
    for _ in 0..5 {
        assert_eq!(order().await.status(), 200);
    }
    let refused = order().await;
    assert_eq!(refused.status(), 429);
    assert!(header(&refused, "retry-after").parse::<u32>().unwrap() >= 1);
    assert!(told["content"][header(&refused, "content-type")].is_object(), "{document}");
    example.signal("INT");
    example.finish();
}

/// Exports that are refused wait until an earlier one has ended, by its last byte or because its client
/// has gone. Streams of events and sockets are refused until then.
#[tokio::test]
async fn exports_and_streams_are_so_many_at_a_time() {
    let mut example = Example::new("exports").variable("PORT", "0").start();
    let address = example.line_with("http://");
    let address = address.split(". Try").next().unwrap();
    let client = Client::new();
    let get =
        async |path: &str| client.get(format!("http://{address}{path}")).send().await.unwrap();

    let held = [get("/export/1000000").await, get("/export/1000000").await];
    let told = held.each_ref().map(|response| header(response, "ratelimit"));
    assert_eq!(told, ["\"export\";r=1", "\"export\";r=0"]);
    let waits = async { get("/export/2").await };
    let goes = async {
        // By the time of these answers, the third is in line.
        for _ in 0..10 {
            assert_eq!(get("/nowhere").await.status(), 404);
        }
        drop(held);
    };
    let (third, ()) = tokio::join!(waits, goes);
    assert_eq!(
        (third.status().as_u16(), header(&third, "ratelimit-policy")),
        (200, "\"export\";q=2;qu=\"concurrent-requests\"")
    );
    assert_eq!(third.text().await.unwrap(), "row 1\nrow 2\n");

    let first = get("/events").await;
    let second = get("/events").await;
    let policy = "\"events-60s\";q=20;w=60, \"events-in-flight\";q=2;qu=\"concurrent-requests\"";
    assert_eq!(header(&second, "ratelimit-policy"), policy);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    assert_eq!(get("/events").await.status(), 429);
    drop(first);
    eventually("a stream is held without its client", async || {
        get("/events").await.status() == 200
    })
    .await;

    let mut socket = handshake(address).await;
    assert_eq!(socket.0, 101);
    // Its task is at work: it returns the empty message, without the mask that a client's has.
    socket.1.write_all(&[0x81, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut end = [0; 2];
    while end != [0x81, 0] {
        end = [end[1], socket.1.read_u8().await.unwrap()];
    }
    assert_eq!(handshake(address).await.0, 429);
    drop(socket);
    eventually("a socket is held without its client", async || handshake(address).await.0 == 101)
        .await;
    example.signal("INT");
    example.finish();
}

/// Asks for a WebSocket. Returns the status, and the connection, which is the socket if that is 101.
async fn handshake(address: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    let status = str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap();
    (status.parse().unwrap(), stream)
}

#[tokio::test]
async fn two_that_share_a_redis_admit_what_one_does() {
    let server = RedisServer::start();
    let mut examples: Vec<Running> = (0..2)
        .map(|_| {
            let example =
                Example::new("with-redis").variable("PORT", "0").variable("METRICS_PORT", "0");
            example.variable("REDIS_URL", &server.url()).start()
        })
        .collect();
    let client = Client::new();
    let mut sum = 0;
    for example in &mut examples {
        let url = example.line_with("curl -i ");
        sum += admitted(&client, &url, 8).await;
    }
    assert_eq!(sum, 10);
    for example in examples {
        example.signal("INT");
        example.finish();
    }
}

/// As a deployment has it: three replicas, a mounted file that is edited, a signal at the end.
#[tokio::test]
async fn replicas_of_the_service_share_their_limits_and_follow_their_file() {
    let server = RedisServer::start();
    let folder = Mounted::new();
    let mut examples: Vec<Running> = (0..3)
        .map(|_| {
            Example::new("service")
                .variable("PORT", "0")
                .variable("METRICS_PORT", "0")
                .variable("REDIS_URL", &server.url())
                .variable("CONFIG_FILE", &folder.file())
                .variable("TOLLGATE_INSTANCES", "3")
                .start()
        })
        .collect();
    let inside: Vec<String> =
        examples.iter_mut().map(|example| example.line_with("Metrics on port ")).collect();
    let ports: Vec<String> =
        examples.iter_mut().map(|example| example.line_with("Listening on port ")).collect();
    let client = Client::new();
    let all = async |each: usize| {
        let mut sum = 0;
        for port in &ports {
            sum += admitted(&client, &format!("http://127.0.0.1:{port}/items"), each).await;
        }
        sum
    };
    assert_eq!(all(8).await, 20);

    folder.write("[policies.items]\nlimit = 25\n");
    for port in &ports {
        let url = format!("http://127.0.0.1:{port}/items");
        eventually("it does not follow its file", async || {
            header(&client.get(&url).send().await.unwrap(), "ratelimit-policy")
                == "\"items\";q=25;w=60"
        })
        .await;
    }
    // At most five were admitted while the change was awaited.
    assert!(all(8).await <= 5);

    for (port, inside) in ports.iter().zip(&inside) {
        let published =
            client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
        assert_eq!(published.status(), 404);
        let metrics =
            client.get(format!("http://127.0.0.1:{inside}/metrics")).send().await.unwrap();
        assert!(
            metrics.text().await.unwrap().contains("tollgate_decisions_total{policy=\"items\"")
        );
        let health = client.get(format!("http://127.0.0.1:{port}/health")).send().await.unwrap();
        assert_eq!(health.status(), 200);
    }
    for example in examples {
        example.signal("TERM");
        example.finish();
    }
}

/// It starts while its Redis is away, and each limit does what it says of that.
#[tokio::test]
async fn the_service_starts_in_an_outage() {
    let mut example = Example::new("service")
        .variable("PORT", "0")
        .variable("METRICS_PORT", "0")
        .variable("REDIS_URL", "redis://127.0.0.1:1/0")
        .start();
    let base = format!("http://127.0.0.1:{}", example.line_with("Listening on port "));
    let client = Client::new();
    let items = client.get(format!("{base}/items")).send().await.unwrap();
    assert_eq!(items.status(), 200);
    let login = client.post(format!("{base}/login")).send().await.unwrap();
    assert_eq!(login.status(), 503);
    assert_eq!(client.get(format!("{base}/health")).send().await.unwrap().status(), 200);
    example.signal("TERM");
    example.finish();
}

#[test]
fn a_service_with_a_mistake_in_its_file_does_not_start() {
    let folder = Mounted::new();
    folder.write("[policies.itmes]\nlimit = 25\n");
    let example = Example::new("service").variable("CONFIG_FILE", &folder.file()).start();
    let failed = std::panic::catch_unwind(|| example.finish());
    assert!(failed.is_err(), "it started, or ended with success");
}

/// A folder as Kubernetes mounts a ConfigMap: the file is a link through `..data`, itself a link,
/// which is replaced.
struct Mounted {
    path: std::path::PathBuf,
}

impl Mounted {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-test-mounted-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        let mounted = Self { path };
        mounted.write("[policies.items]\nlimit = 20\n");
        std::os::unix::fs::symlink("..data/tollgate.toml", mounted.file()).unwrap();
        mounted
    }

    fn file(&self) -> String {
        self.path.join("tollgate.toml").to_str().unwrap().to_owned()
    }

    fn write(&self, text: &str) {
        let version = format!("..version-{}", fs::read_dir(&self.path).unwrap().count());
        let folder = self.path.join(&version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tollgate.toml"), text).unwrap();
        let new = self.path.join("..data_tmp");
        std::os::unix::fs::symlink(&version, &new).unwrap();
        fs::rename(new, self.path.join("..data")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[tokio::test]
async fn the_dashboard_is_behind_its_password_and_sees_the_traffic() {
    let mut example = Example::new("dashboard").start();
    let line = example.line_with("Open ");
    let url = line.split_once(" as admin").unwrap().0;
    let client = Client::new();
    assert_eq!(client.get(url).send().await.unwrap().status(), 401);
    // A slash at the end is a frequent slip of the hand.
    assert_eq!(client.get(format!("{url}/")).send().await.unwrap().status(), 401);
    eventually("it shows no traffic", async || {
        let page = client.get(url).header("authorization", "Basic YWRtaW46b25seSBhbiBleGFtcGxl");
        let page = page.send().await.unwrap().text().await.unwrap();
        assert!(page.contains("<h2>dashboard::search</h2>"), "{page}");
        // Somebody has been refused.
        page.contains("<td>dashboard::search</td>")
    })
    .await;
    example.signal("INT");
    example.finish();
}

/// Asks another process again and again, which tells nobody when it is so.
async fn eventually(otherwise: &str, is_so: impl AsyncFn() -> bool) {
    let asked = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "{otherwise}");
}

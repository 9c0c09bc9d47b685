//! Chromium, driven by its own driver; both end with the test.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long the machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What its user prefers.
#[derive(Clone, Copy)]
pub(crate) enum Scheme {
    Dark,
    Light,
}

/// In pixels as a page counts them, and how many of the screen's make one.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) ratio: f32,
}

type Output = Lines<BufReader<ChildStdout>>;

pub(crate) struct Browser {
    pub(crate) client: Client,
    /// Killed when it is dropped.
    _driver: Child,
    /// It would not run if nobody read what it says.
    _output: Output,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start(screen: Screen, scheme: Scheme) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, output, port) = driver().await;
        let scheme = match scheme {
            Scheme::Dark => 0,
            Scheme::Light => 1,
        };
        let profile_arg = format!("--user-data-dir={}", profile.path().display());
        let scheme_arg = format!("--blink-settings=preferredColorScheme={scheme}");
        let args = [
            "--headless",
            // It ends when its driver does, however that ends.
            "--remote-debugging-pipe",
            // It looks at nothing but the test's own pages.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            &profile_arg,
            &scheme_arg,
        ];
        let Screen { width, height, ratio } = screen;
        let metrics = json!({ "width": width, "height": height, "pixelRatio": ratio });
        let capabilities = json!({
            "goog:chromeOptions": { "args": args, "mobileEmulation": { "deviceMetrics": metrics } },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self { client, _driver: driver, _output: output, _profile: profile }
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Waits until `script` gives something that is true, which it gives.
    pub(crate) async fn eventually(&self, script: &str) -> Value {
        let is_true = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        let waited = async {
            loop {
                let value = self.run(script).await;
                if is_true(&value) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(value) => value,
            Err(_) => panic!("in {PATIENCE:?} this was never true: {script}"),
        }
    }

    pub(crate) async fn end(self) {
        self.client.close().await.unwrap();
    }
}

/// A driver that listens, and where. It asks the system for a port by IPv6 and wants the same by
/// IPv4; where a connection has that one, it ends, and another may be luckier.
async fn driver() -> (Child, Output, u16) {
    let mut said = Vec::new();
    for _ in 0..10 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: run this by tests/browser.sh, which installs it");
        let mut output = BufReader::new(driver.stdout.take().unwrap()).lines();
        while let Some(line) = output.next_line().await.unwrap() {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return (driver, output, port.trim_end_matches('.').parse().unwrap());
            }
            said.push(line);
        }
    }
    panic!("chromedriver does not start: {said:#?}");
}

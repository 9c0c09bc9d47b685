//! The dashboard in Chromium, under traffic: what an operator sees and does.
//!
//! `TOLLGATE_DRAW=1 tests/browser.sh` also takes the picture for the README, when the charts are full.

mod browser;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use browser::{Browser, Scheme, Screen};
use fantoccini::Locator;
use serde_json::json;
use tollgate::{Dashboard, Limiter, MemoryBackend, rate_limit};

const DESKTOP: Screen = Screen { width: 1200, height: 860, ratio: 1.0 };
const PHONE: Screen = Screen { width: 390, height: 844, ratio: 2.0 };

/// A client that tells a dreadful name.
const EVIL: &str = "<img src=x onerror=document.title='taken'>";

fn client(parts: &Parts) -> Option<String> {
    Some(parts.headers.get("x-client")?.to_str().ok()?.to_owned())
}

#[rate_limit(5, per = second, name = "orders", key = self::client)]
async fn orders() {}

#[rate_limit(120, per = minute, burst = 20, algorithm = token_bucket, name = "exports", key = global)]
async fn exports() {}

#[rate_limit(12, per = second, name = "reports", key = global, shadow)]
async fn reports() {}

/// A service with traffic of its own, and the address of its dashboard.
async fn served(shows_subjects: bool) -> (Limiter, String) {
    let limiter = Limiter::new(MemoryBackend::new());
    let dashboard = Dashboard::new(limiter.clone()).allow_changes(true).show_subjects(shows_subjects);
    let app = Router::new()
        .route("/orders", get(orders))
        .route("/exports", get(exports))
        .route("/reports", get(reports))
        .layer(limiter.layer())
        .nest("/admin/limits", dashboard.into_router());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    tokio::spawn(traffic(address));
    (limiter, format!("http://{address}/admin/limits"))
}

/// In waves, so that there is something to see.
async fn traffic(address: SocketAddr) {
    let mut ticks = tokio::time::interval(Duration::from_millis(25));
    for tick in 0_u32.. {
        ticks.tick().await;
        let wave = f64::from(tick % 800) / 800.0 * std::f64::consts::TAU;
        if f64::from(tick % 10) < 5.5 + 3.0 * wave.sin() {
            request(address, "orders", EVIL).await;
            request(address, "reports", "all").await;
        }
        for (client, every) in [("198.51.100.23", 6), ("203.0.113.7", 11), ("2001:db8::/64", 17)] {
            if tick % every == 0 {
                request(address, "orders", client).await;
            }
        }
        if wave.cos() > 0.2 && tick % 9 == 0 {
            request(address, "exports", "all").await;
        }
    }
}

async fn request(address: SocketAddr, path: &str, client: &str) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /{path} HTTP/1.1\r\nhost: {address}\r\nx-client: {client}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
}

/// Where this and the next say what the limit `orders` admits, and its form.
const ORDERS: &str = "document.getElementById('limit orders')";

#[tokio::test]
async fn an_operator_sees_limits_at_work_and_changes_one() {
    let (limiter, url) = served(true).await;
    let browser = Browser::start(DESKTOP, Scheme::Light).await;
    browser.client.goto(&url).await.unwrap();

    let names =
        browser.run("return [...document.querySelectorAll('h2')].map(it => it.textContent)");
    let names = names.await;
    for name in ["orders", "exports", "reports"] {
        assert!(names.as_array().unwrap().contains(&json!(name)), "{names}");
    }
    // The script runs, and the charts move: each of them twice.
    browser.eventually("return document.getElementById('state').textContent === 'live'").await;
    for chart in ["#overview figure", "#limit\\\\ orders figure", "#limit\\\\ reports figure"] {
        for _ in 0..2 {
            let line = format!(
                "document.querySelector('{chart} polyline[stroke=\"#2A8C5A\"]').getAttribute('points')"
            );
            browser.run(&format!("window.before = {line}")).await;
            browser.eventually(&format!("return {line} !== window.before")).await;
        }
    }
    // Who is refused most has a name that is text.
    let named = "return [...document.querySelectorAll('td')].some(it => it.textContent === NAME)";
    browser.eventually(&named.replace("NAME", &json!(EVIL).to_string())).await;
    assert_eq!(browser.run("return document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.run("return document.title").await, "Rate limits");

    // A mistake is told, and what was written is still there.
    change(&browser, "many").await;
    browser
        .eventually("return document.body.textContent.includes('`many` is no whole number')")
        .await;
    assert!(limiter.overrides().is_empty());
    // A change is made, and takes effect.
    let allowed = format!("{ORDERS}.querySelector('.good b').textContent");
    browser.eventually(&format!("return +{allowed} > 4")).await;
    change(&browser, "1").await;
    browser.eventually("return location.search === '?changed=orders'").await;
    browser.eventually(&format!("return {ORDERS}.textContent.includes('overridden')")).await;
    assert_eq!(
        browser.run(&format!("return {ORDERS}.querySelector('b').textContent")).await,
        "1 per 1s"
    );
    // Each of four clients has one a second now.
    browser.eventually(&format!("return +{allowed} > 0 && +{allowed} <= 4")).await;
    // And back.
    browser.run("document.querySelectorAll('details').forEach(it => it.open = true)").await;
    let reset = "form.change button[value=reset]";
    browser.client.find(Locator::Css(reset)).await.unwrap().click().await.unwrap();
    browser.eventually(&format!("return !{ORDERS}.textContent.includes('overridden')")).await;
    assert!(limiter.overrides().is_empty());

    browser.end().await;
}

/// Fills in the form of the limit `orders`, and sends it.
async fn change(browser: &Browser, limit: &str) {
    browser.eventually("return document.readyState === 'complete'").await;
    browser.run("document.querySelectorAll('details').forEach(it => it.open = true)").await;
    let field = "//form[input[@value='orders']]//input[@name='limit']";
    let field = browser.client.find(Locator::XPath(field)).await.unwrap();
    field.clear().await.unwrap();
    field.send_keys(limit).await.unwrap();
    let button = "//form[input[@value='orders']]//button[@value='change']";
    browser.client.find(Locator::XPath(button)).await.unwrap().click().await.unwrap();
}

#[tokio::test]
async fn it_is_readable_in_both_schemes_and_on_a_phone() {
    let (_limiter, url) = served(true).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut backs = Vec::new();
    for (screen, scheme, name) in [
        (PHONE, Scheme::Light, "phone-light"),
        (PHONE, Scheme::Dark, "phone-dark"),
        (DESKTOP, Scheme::Dark, "desktop-dark"),
    ] {
        let browser = Browser::start(screen, scheme).await;
        browser.client.goto(&url).await.unwrap();
        browser.eventually("return document.getElementById('state').textContent === 'live'").await;
        assert_eq!(browser.run("return innerWidth").await, screen.width, "{name}");
        // Nothing sticks out to the side, and nothing is written too small to read.
        browser.run("document.querySelectorAll('details').forEach(it => it.open = true)").await;
        let wide = "return [...document.querySelectorAll('body *')].filter(it => \
             it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML)";
        assert_eq!(browser.run(wide).await, json!([]), "{name}");
        assert_eq!(browser.run("return document.documentElement.scrollWidth").await, screen.width);
        let small = "return [...document.querySelectorAll('body *')].filter(it => \
             it.textContent && parseFloat(getComputedStyle(it).fontSize) < 11).map(it => it.outerHTML)";
        assert_eq!(browser.run(small).await, json!([]), "{name}");
        backs.push(browser.run("return getComputedStyle(document.body).backgroundColor").await);
        // For who wants to look at them.
        for (part, scroll) in [("top", "0"), ("bottom", "document.body.scrollHeight")] {
            browser.run(&format!("scrollTo(0, {scroll})")).await;
            let picture = browser.client.screenshot().await.unwrap();
            std::fs::write(folder.join(format!("{name}-{part}.png")), picture).unwrap();
        }
        browser.end().await;
    }
    assert_ne!(backs[0], backs[1], "dark is as light");
    assert_eq!(backs[1], backs[2]);
}

#[tokio::test]
async fn picture_for_the_readme() {
    if std::env::var_os("TOLLGATE_DRAW").is_none() {
        return;
    }
    let (_limiter, url) = served(false).await;
    // The charts show a minute, and are to be full.
    tokio::time::sleep(Duration::from_secs(70)).await;
    let browser = Browser::start(DESKTOP, Scheme::Light).await;
    browser.client.goto(&url).await.unwrap();
    browser.eventually("return document.getElementById('state').textContent === 'live'").await;
    let picture = browser.client.screenshot().await.unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("dashboard.png"), picture).unwrap();
    browser.end().await;
}

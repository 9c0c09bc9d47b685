//! The page on which an operator sees limits at work and changes them.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use support::FailingBackend;
use tollgate::testing::{self, ManualClock};
use tollgate::{
    Ban, CircuitBreaker, Dashboard, Limiter, MemoryBackend, OnError, Override, Overrides, Policy,
    Quota, rate_limit,
};
use tower::ServiceExt as _;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[rate_limit(40, per = minute, burst = 50, algorithm = gcra, key = global, name = "annotated")]
async fn annotated() {}
const LINE: u32 = line!() - 2;

#[rate_limit(7, per = second, key = global, name = "in shadow", shadow)]
#[rate_limit(70, per = hour, key = global)]
async fn in_shadow() {}

const DECLARED: Policy = Policy::new("declared", Quota::new(3, MINUTE));
const USED: Policy = Policy::new("used", Quota::new(9, SECOND));

/// It knows [`DECLARED`], and goes by a clock that stands still.
fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    (Limiter::builder(backend).clock(clock.clone()).declare(DECLARED).build(), clock)
}

fn router(dashboard: Dashboard) -> Router {
    Router::new().nest("/limits", dashboard.into_router())
}

async fn send(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 4 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn get(router: &Router, path: &str) -> String {
    let response = send(router, Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

/// Sends a form as the page does.
async fn post(router: &Router, form: &[(&str, &str)]) -> Response<Body> {
    let request = Request::post("/limits").header("sec-fetch-site", "same-origin");
    send(router, request.body(encoded(form)).unwrap()).await
}

fn encoded(form: &[(&str, &str)]) -> Body {
    let pairs = form.iter().map(|(key, value)| format!("{key}={}", value.replace(' ', "+")));
    Body::from(pairs.collect::<Vec<_>>().join("&"))
}

/// The part of the page that is about one policy.
fn card<'a>(page: &'a str, policy: &str) -> &'a str {
    between(page, &format!("<h2>{policy}</h2>"), "</section>")
}

/// What stands between, of the first that stands so.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap().0
}

async fn admits(limiter: &Limiter, policy: &Policy, subject: &str, tries: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..tries {
        admitted += u32::from(limiter.check(policy, subject).await.unwrap().is_allowed());
    }
    admitted
}

#[tokio::test]
async fn it_shows_every_policy_as_it_is_kept() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()));
    admits(&limiter, &USED, "a", 1).await;
    let page = get(&router, "/limits").await;
    let annotated = card(&page, "annotated");
    assert!(annotated.contains("<b>40 per 1m burst 50</b>"), "{annotated}");
    assert!(annotated.contains("gcra, closed when the store fails"), "{annotated}");
    assert!(annotated.contains(&format!("tests/operate/dashboard.rs:{LINE}")), "{annotated}");
    assert!(!annotated.contains("overridden") && !annotated.contains("shadow"), "{annotated}");
    let in_shadow = card(&page, "in shadow");
    assert!(in_shadow.contains("7 per 1s, 70 per 1h") && in_shadow.contains("shadow"));
    assert!(card(&page, "declared").contains("declared to the limiter&#39;s builder"));
    assert!(card(&page, "used").contains("not declared"), "{page}");

    let changes = Overrides::new()
        .with("annotated", Override::new().limit(80).per(2 * MINUTE).on_error(OnError::Open))
        .with("declared", Override::new().enabled(false));
    limiter.set_overrides(changes).unwrap();
    let page = get(&router, "/limits").await;
    let annotated = card(&page, "annotated");
    assert!(annotated.contains("<b>80 per 2m burst 50</b>"), "{annotated}");
    assert!(annotated.contains("gcra, open when the store fails"), "{annotated}");
    assert!(annotated.contains("overridden"), "{annotated}");
    assert!(annotated.contains("written: 40 per 1m burst 50, gcra"), "{annotated}");
    assert!(card(&page, "declared").contains("disabled"));
}

#[tokio::test]
async fn it_counts_by_second_for_a_minute() {
    let (limiter, clock) = limiter();
    let router = router(Dashboard::new(limiter.clone()));
    let figures = async || {
        let page = get(&router, "/limits?live").await;
        let declared = between(&page, "id=\"limit declared\"", "</figure>").to_owned();
        let all = between(&page, "<h2>Decisions</h2>", "</figure>").to_owned();
        assert_eq!(between(&all, "<svg", "</svg>"), between(&declared, "<svg", "</svg>"));
        let minute = between(&page, "In the last minute: ", ".").to_owned();
        let [allowed, refused] =
            ["allowed <b>", "refused <b>"].map(|it| between(&declared, it, "<").to_owned());
        ((allowed, refused), minute, between(&declared, "<svg", "</svg>").to_owned())
    };
    let (_, _, flat) = figures().await;
    assert_eq!(admits(&limiter, &DECLARED, "a", 5).await, 3);
    // The second has not ended.
    assert_eq!(figures().await.0, ("0".to_owned(), "0".to_owned()));
    clock.advance(SECOND);
    let (second, minute, at_its_end) = figures().await;
    assert_eq!(second, ("3".to_owned(), "2".to_owned()));
    assert_eq!(minute, "3 allowed, 2 refused");
    assert_ne!(at_its_end, flat);
    clock.advance(SECOND);
    let (second, minute, later) = figures().await;
    assert_eq!(second, ("0".to_owned(), "0".to_owned()));
    assert_eq!(minute, "3 allowed, 2 refused");
    assert_ne!(later, at_its_end, "the chart does not move");
    clock.advance(MINUTE);
    let (_, minute, after) = figures().await;
    assert_eq!((minute.as_str(), after), ("0 allowed, 0 refused", flat));
}

#[tokio::test]
async fn subjects_are_hashes_unless_asked_for() {
    let (limiter, _) = limiter();
    let hidden = router(Dashboard::new(limiter.clone()));
    let shown = router(Dashboard::new(limiter.clone()).show_subjects(true));
    let subject = "<script>alert('203.0.113.7')</script>";
    admits(&limiter, &DECLARED, subject, 8).await;
    let page = get(&hidden, "/limits").await;
    assert!(!page.contains("203.0.113.7"), "{page}");
    let row = between(&page, "<tr><td>", "</tr>");
    let hash = row.split_once("</td>").unwrap().0;
    assert!(hash.len() == 12 && hash.bytes().all(|it| it.is_ascii_hexdigit()), "{hash}");
    assert!(row.ends_with("<td>declared</td><td>5</td>"), "{row}");
    // The same again, and another for who runs another process.
    assert!(get(&hidden, "/limits?live").await.contains(hash));
    assert!(!get(&router(Dashboard::new(limiter.clone())), "/limits").await.contains(hash));

    let page = get(&shown, "/limits").await;
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(
        page.contains("<td>&#60;script&#62;alert(&#39;203.0.113.7&#39;)&#60;/script&#62;</td>")
    );
}

#[tokio::test]
async fn what_others_name_is_text() {
    let evil = "\"><img src=x onerror=alert(1)>&amp;";
    let policy = Policy::named(evil, Quota::new(1, SECOND));
    let limiter = Limiter::builder(MemoryBackend::new()).declare(policy.clone()).build();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true).show_subjects(true));
    admits(&limiter, &policy, evil, 3).await;
    let mut pages = vec![get(&router, "/limits").await];
    pages.push(get(&router, "/limits?live").await);
    pages.push(get(&router, "/limits?find=%22%3E%3Cimg&changed=%3Cimg%3E").await);
    pages.push(text(post(&router, &[("policy", "<img>"), ("limit", "<img>")]).await).await);
    for page in pages {
        assert!(!page.contains("<img"), "{page}");
    }
}

#[tokio::test]
async fn nothing_is_changed_unless_allowed_and_from_the_page_itself() {
    let (limiter, _) = limiter();
    let open = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let closed = router(Dashboard::new(limiter.clone()));
    assert!(!get(&closed, "/limits").await.contains("method=\"post\""));
    assert!(get(&open, "/limits").await.contains("method=\"post\""));
    let form = [("policy", "declared"), ("limit", "8"), ("action", "change")];
    let refused = post(&closed, &form).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(text(refused).await.contains("Dashboard::allow_changes"));

    let (host, own) = (("host", "limits.example:8080"), "http://limits.example:8080");
    let site = "sec-fetch-site";
    let cases: [(&[(&str, &str)], bool); 17] = [
        (&[host, ("origin", "moz-extension://limits.example:8080")], false),
        (&[host, ("origin", "ftp://limits.example:8080")], false),
        (&[("host", ""), ("origin", "http://")], false),
        (&[host, ("host", "evil.example"), ("origin", "http://evil.example")], false),
        (&[host, ("origin", "https://limits.example:8080")], true),
        (&[host], false),
        (&[host, (site, "cross-site")], false),
        (&[host, (site, "same-site")], false),
        (&[host, (site, "none")], false),
        (&[host, (site, "cross-site"), ("origin", own)], false),
        (&[host, ("origin", "null")], false),
        (&[host, ("origin", "http://evil.example")], false),
        (&[host, ("origin", "http://limits.example")], false),
        (&[host, ("origin", "http://limits.example:8080.evil.example")], false),
        (&[("origin", own)], false),
        (&[host, ("origin", own)], true),
        (&[host, (site, "same-origin"), ("origin", "null")], true),
    ];
    for (headers, is_allowed) in cases {
        limiter.set_overrides(Overrides::new()).unwrap();
        let mut request = Request::post("/limits");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(&open, request.body(encoded(&form)).unwrap()).await;
        let status = if is_allowed { StatusCode::SEE_OTHER } else { StatusCode::FORBIDDEN };
        assert_eq!(response.status(), status, "{headers:?}");
        assert_eq!(limiter.overrides().is_empty(), !is_allowed, "{headers:?}");
    }
}

#[tokio::test]
async fn a_change_takes_effect_and_keeps_what_was_counted() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let other = Override::new().shadow(true);
    limiter.set_overrides(Overrides::new().with("annotated", other.clone())).unwrap();
    assert_eq!(admits(&limiter, &DECLARED, "a", 5).await, 3);
    let form = [
        ("policy", "declared"),
        ("limit", "6"),
        ("per", "1m"),
        ("burst", ""),
        ("action", "change"),
    ];
    let changed = post(&router, &form).await;
    assert_eq!(changed.status(), StatusCode::SEE_OTHER);
    // To the same page, wherever that is.
    assert_eq!(changed.headers()["location"], "?changed=declared");
    assert_eq!(admits(&limiter, &DECLARED, "a", 5).await, 3);
    let page = get(&router, "/limits?changed=declared").await;
    assert!(page.contains("declared has been changed"), "{page}");
    assert!(card(&page, "declared").contains("<b>6 per 1m</b>"));
    // The form says what is overridden now, and nothing else.
    assert!(card(&page, "declared").contains("name=\"limit\" value=\"6\""));
    assert!(card(&page, "declared").contains("name=\"burst\" value=\"\""));
    // What is said of others stays.
    assert_eq!(limiter.overrides().get("annotated"), Some(&other));

    let all = [
        ("policy", "declared"),
        ("limit", "20"),
        ("burst", "25"),
        ("algorithm", "token_bucket"),
        ("shadow", "on"),
        ("on_error", "open"),
        ("enabled", "off"),
    ];
    assert_eq!(post(&router, &all).await.status(), StatusCode::SEE_OTHER);
    let expected = Override::new()
        .limit(20)
        .burst(25)
        .algorithm(tollgate::Algorithm::TokenBucket)
        .shadow(true)
        .on_error(OnError::Open)
        .enabled(false);
    assert_eq!(limiter.overrides().get("declared"), Some(&expected));
    let page = get(&router, "/limits").await;
    for said in ["<option selected>token_bucket", "<option selected>on<", "<option selected>off<"] {
        assert!(card(&page, "declared").contains(said), "{said}");
    }

    let reset = [("policy", "declared"), ("limit", "9"), ("action", "reset")];
    assert_eq!(post(&router, &reset).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(limiter.overrides().get("declared"), None);
    assert_eq!(limiter.overrides().get("annotated"), Some(&other));
}

#[tokio::test]
async fn everybody_is_blocked_and_let_in_again() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let blocked = "blocked: admits nobody";
    assert!(!card(&get(&router, "/limits").await, "declared").contains(blocked));
    for (form, expected) in
        [(("block", "on"), Override::new().block(true)), (("limit", "0"), Override::new().limit(0))]
    {
        let form = [("policy", "declared"), form];
        assert_eq!(post(&router, &form).await.status(), StatusCode::SEE_OTHER);
        assert_eq!(limiter.overrides().get("declared"), Some(&expected));
        let page = get(&router, "/limits").await;
        assert!(card(&page, "declared").contains(blocked));
        let name = form[1].0;
        let is_filled_in = match name {
            "block" => card(&page, "declared").contains("<option selected>on<"),
            _ => card(&page, "declared").contains("name=\"limit\" value=\"0\""),
        };
        assert!(is_filled_in, "{name}");
    }
    let form = [("policy", "declared"), ("quotas", "5 per 1s, 0 per 1m")];
    assert_eq!(post(&router, &form).await.status(), StatusCode::SEE_OTHER);
    let page = get(&router, "/limits").await;
    assert!(card(&page, "declared").contains("value=\"5 per 1s, 0 per 1s\""), "{page}");
    assert!(card(&page, "declared").contains(blocked));
    let form = [("policy", "declared"), ("block", "off")];
    assert_eq!(post(&router, &form).await.status(), StatusCode::SEE_OTHER);
    assert!(!card(&get(&router, "/limits").await, "declared").contains(blocked));
}

#[tokio::test]
async fn a_rule_for_bans_is_set_and_taken_away() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    assert!(!card(&get(&router, "/limits").await, "declared").contains("bans"));
    let rule = Ban::new(5, 15 * MINUTE);
    for (written, rule) in [
        ("after 5 for 15m", Some(rule)),
        ("after 5 for 15m grow 2", Some(rule.grow(2))),
        ("after 5 for 15m most 1d", Some(rule.most(24 * 60 * MINUTE))),
        ("after 5 for 15m grow 3 most 1d", Some(rule.grow(3).most(24 * 60 * MINUTE))),
        ("off", None),
    ] {
        let form = [("policy", "declared"), ("ban", written)];
        assert_eq!(post(&router, &form).await.status(), StatusCode::SEE_OTHER, "{written}");
        let expected = Override::new().ban(rule);
        assert_eq!(limiter.overrides().get("declared"), Some(&expected), "{written}");
        let page = get(&router, "/limits").await;
        let card = card(&page, "declared");
        assert!(card.contains(&format!("name=\"ban\" value=\"{written}\"")), "{card}");
        let said =
            rule.map_or("store fails<br>written".to_owned(), |_| format!("<br>bans {written}"));
        assert!(card.replace("\n  ", "").contains(&said), "{card}");
    }
}

/// The page shows the declared rule, and beside it the one in effect.
#[tokio::test]
async fn a_declared_rule_for_bans_is_shown() {
    let banning = DECLARED.ban(Ban::new(5, MINUTE));
    let limiter = Limiter::builder(MemoryBackend::new()).declare(banning).build();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let page = get(&router, "/limits").await;
    assert!(card(&page, "declared").contains("bans after 5 for 1m"), "{page}");
    limiter.set_overrides(Overrides::new().with("declared", Override::new().ban(None))).unwrap();
    let page = get(&router, "/limits").await;
    let written = "written: 3 per 1m, sliding_window, bans after 5 for 1m";
    assert!(card(&page, "declared").contains(written), "{page}");
    assert_eq!(card(&page, "declared").matches("bans after").count(), 1, "{page}");
}

#[tokio::test]
async fn several_quotas_are_changed_together() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let form = [("policy", "in+shadow"), ("quotas", "5 per 1s,  90 per 2h")];
    assert_eq!(post(&router, &form).await.status(), StatusCode::SEE_OTHER);
    let quotas = [Quota::new(5, SECOND), Quota::new(90, 120 * MINUTE)];
    assert_eq!(limiter.overrides().get("in shadow"), Some(&Override::new().quotas(quotas)));
    let page = get(&router, "/limits").await;
    assert!(card(&page, "in shadow").contains("name=\"quotas\" value=\"5 per 1s, 90 per 2h\""));
    assert!(!card(&page, "in shadow").contains("name=\"limit\""));
}

#[tokio::test]
async fn mistakes_are_told_in_words_and_change_nothing() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let before = Overrides::new().with("declared", Override::new().limit(5));
    limiter.set_overrides(before.clone()).unwrap();
    let cases: [(&[(&str, &str)], &str); 19] = [
        (&[("limit", "many")], "limit: `many` is no whole number from 0 to 4294967295"),
        (&[("limit", "-1")], "limit: `-1` is no whole number"),
        (&[("limit", "0"), ("block", "off")], "limit: a limit of 0 blocks"),
        (&[("per", "1 week")], "per: `1 week` is no length of time"),
        (&[("per", "0")], "per: the period"),
        (&[("burst", "0"), ("algorithm", "gcra")], "burst: the burst"),
        (&[("burst", "9")], "has no bucket: leave `burst` out"),
        (&[("algorithm", "leaky")], "`leaky` is none of `sliding_window`"),
        (&[("shadow", "yes")], "`yes` is none of `on`, `off`"),
        (&[("on_error", "closd")], "`closd` is none of `closed`"),
        (&[("ban", "5")], "ban: `5` is no rule for bans: write `after 5 for 15m grow 2 most 1d`"),
        (&[("ban", "on")], "ban: `on` is no rule for bans"),
        (&[("ban", "after 5 for 15m most 1d grow 2")], "is no rule for bans"),
        (&[("ban", "after 5 for soon")], "ban: `soon` is no length of time"),
        (&[("ban", "after 0 for 15m")], "ban: `after`: a ban must come after"),
        (&[("ban", "after 5 for 15m most 1m")], "ban: `most`: the longest ban"),
        (&[("quotas", "5 a minute")], "write `5 per 1m`"),
        (&[("limit", "5"), ("quotas", "5 per 1m")], "`quotas` says it all"),
        (&[("policy", "used")], "no policy `used` that can be changed"),
    ];
    for (fields, said) in cases {
        let form = [&[("policy", "declared")], fields].concat();
        let response = post(&router, &form).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        let page = text(response).await;
        assert!(page.contains("Nothing has been changed"), "{fields:?}");
        let told = between(&page, "role=\"status\"", "</div>");
        assert!(told.contains(said), "{fields:?}: {told}");
        assert_eq!(limiter.overrides(), before, "{fields:?}");
    }
    // All at once, and what was sent is there to be mended.
    let form = [("policy", "declared"), ("limit", "many"), ("per", "soon"), ("enabled", "off")];
    let page = text(post(&router, &form).await).await;
    assert!(page.contains("limit: `many`") && page.contains("per: `soon`"), "{page}");
    let declared = card(&page, "declared");
    assert!(declared.contains("<details open>"), "{declared}");
    assert!(declared.contains("name=\"limit\" value=\"many\""), "{declared}");
    assert!(declared.contains("<option selected>off<"), "{declared}");
    // More than the page ever sends.
    let long = "9".repeat(20_000);
    let response = post(&router, &[("policy", "declared"), ("limit", &long)]).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn it_is_nested_anywhere_and_loads_nothing() {
    let (limiter, _) = limiter();
    let dashboard = || Dashboard::new(limiter.clone()).allow_changes(true);
    let inner = Router::new().nest("/ops/{team}", dashboard().into_router());
    let app: Router = Router::<String>::new()
        .nest("/limits", dashboard().into_router())
        .nest("/a/b", inner)
        .nest_service("/slash", dashboard().into_router().with_state(()))
        .merge(dashboard().into_router())
        .with_state(String::from("the state of the application"));
    for path in ["/limits", "/a/b/ops/red", "/slash", "/slash/", "/"] {
        let page = get(&app, path).await;
        assert!(page.contains("<h1>Rate limits</h1>"), "{path}");
        // Every link is a query, or none.
        for attribute in ["href", "src", "action", "style"] {
            for (_, rest) in page.match_indices(&format!(" {attribute}=")) {
                assert_eq!(rest, " href=", "{path}");
            }
        }
        assert_eq!(page.matches(" href=\"data:,\"").count(), page.matches(" href=").count());
        assert!(get(&app, &format!("{path}?live")).await.contains("id=\"overview\""));
    }
    let response = send(&app, Request::get("/limits").body(Body::empty()).unwrap()).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let head = send(&app, Request::head("/limits").body(Body::empty()).unwrap()).await;
    assert_eq!(head.status(), StatusCode::OK);
}

#[tokio::test]
async fn it_shows_an_outage() {
    let clock = ManualClock::new();
    let backend = FailingBackend;
    let limiter = Limiter::builder(backend)
        .clock(clock.clone())
        .breaker(CircuitBreaker::new().failure_threshold(2))
        .declare(DECLARED)
        .build();
    let router = router(Dashboard::new(limiter.clone()));
    for _ in 0..4 {
        assert!(limiter.check(&DECLARED, "a").await.is_err());
    }
    clock.advance(SECOND / 2);
    assert!(
        get(&router, "/limits").await.contains("<dt>circuit breaker</dt><dd class=\"bad\">open")
    );
    clock.advance(SECOND);
    let page = get(&router, "/limits").await;
    assert!(card(&page, "declared").contains("failed <b>4</b>/s"), "{page}");
    assert!(page.contains("4 without an answer of the store"), "{page}");
}

#[tokio::test]
async fn many_policies_are_found_by_name() {
    let mut builder = Limiter::builder(MemoryBackend::new());
    for number in 0..150 {
        builder = builder.declare(Policy::named(format!("p{number:03}"), Quota::new(1, SECOND)));
    }
    let limiter = builder.build();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    let page = get(&router, "/limits").await;
    assert_eq!(page.matches("id=\"limit ").count(), 100);
    assert!(page.contains("more are not shown"), "{page}");
    let page = get(&router, "/limits?find=p14").await;
    assert_eq!(page.matches("id=\"limit ").count(), 10);
    // It is still what was looked for, after a change.
    let request = Request::post("/limits?find=p14").header("sec-fetch-site", "same-origin");
    let form = encoded(&[("policy", "p149"), ("limit", "2")]);
    let response = send(&router, request.body(form).unwrap()).await;
    assert_eq!(response.headers()["location"], "?find=p14&changed=p149");
}

#[tokio::test]
async fn waits_are_counted_and_peeks_are_not() {
    let (limiter, clock) = testing::limiter();
    let router = router(Dashboard::new(limiter.clone()));
    assert!(limiter.wait(&DECLARED, "a", 1, Duration::ZERO).await.unwrap().is_allowed());
    assert!(limiter.peek(&DECLARED, "a", 1).await.unwrap().is_allowed());
    clock.advance(SECOND);
    assert!(get(&router, "/limits").await.contains("1 allowed, 0 refused"));
}

#[tokio::test]
async fn it_is_served_only_under_its_own_names() {
    let (limiter, _) = limiter();
    let dashboard = Dashboard::new(limiter.clone()).allow_changes(true);
    let router = router(dashboard.hosts(["limits.example", "ops.example:8080", "[::1]"]));
    for (host, is_served) in [
        ("limits.example", true),
        ("LIMITS.example", true),
        ("limits.example:3000", true),
        ("ops.example:8080", true),
        ("[::1]", true),
        ("[::1]:3000", true),
        ("ops.example", false),
        ("ops.example:80", false),
        ("evil.example:3000", false),
        ("limits.example.evil.example", false),
        ("", false),
    ] {
        let request = Request::get("/limits").header("host", host).body(Body::empty()).unwrap();
        let response = send(&router, request).await;
        let status = if is_served { StatusCode::OK } else { StatusCode::MISDIRECTED_REQUEST };
        assert_eq!(response.status(), status, "{host}");
        let change = Request::post("/limits").header("host", host);
        let change = change.header("origin", format!("http://{host}"));
        let form = encoded(&[("policy", "declared"), ("limit", "8"), ("action", "change")]);
        send(&router, change.body(form).unwrap()).await;
        assert_eq!(limiter.overrides().is_empty(), !is_served, "{host}");
        limiter.set_overrides(Overrides::new()).unwrap();
    }
}

#[tokio::test]
async fn no_link_makes_a_claim() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter.clone()).allow_changes(true));
    for name in ["declared", "annotated", "nobody"] {
        let page = get(&router, &format!("/limits?changed={name}")).await;
        assert!(!page.contains("has been changed"), "{name}");
    }
    limiter.set_overrides(Overrides::new().with("declared", Override::new().limit(5))).unwrap();
    assert!(get(&router, "/limits?changed=declared").await.contains("declared has been changed"));
}

#[tokio::test]
async fn every_response_keeps_other_sites_out() {
    let (limiter, _) = limiter();
    let router = router(Dashboard::new(limiter).allow_changes(true));
    let own = |request: axum::http::request::Builder, body| {
        request.header("sec-fetch-site", "same-origin").body(body).unwrap()
    };
    let form = encoded(&[("policy", "declared"), ("limit", "8"), ("action", "change")]);
    let large = Body::from("a".repeat(16 * 1024 + 1));
    for (request, status) in [
        (own(Request::get("/limits"), Body::empty()), 200),
        (own(Request::post("/limits"), form), 303),
        (own(Request::post("/limits"), Body::from("policy=x")), 422),
        (own(Request::put("/limits"), Body::empty()), 405),
        (own(Request::post("/limits"), large), 413),
        (Request::post("/limits").body(Body::empty()).unwrap(), 403),
    ] {
        let response = send(&router, request).await;
        assert_eq!(response.status().as_u16(), status);
        for (name, value) in [
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(response.headers()[name], value, "{status} {name}");
        }
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{status}");
    }
}

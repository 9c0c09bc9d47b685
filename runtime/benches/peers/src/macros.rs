//! What the attribute costs: a crate with 200 annotated handlers against the same without.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::median;

const HANDLERS: usize = 200;
const ROUNDS: usize = 9;

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let root = std::env::temp_dir().join(format!("tollgate-macros-{}", std::process::id()));
    let result = compare(&root);
    fs::remove_dir_all(&root)?;
    result
}

fn compare(root: &Path) -> Result<(), Box<dyn Error>> {
    let annotated = write_crate(root, "annotated", true)?;
    let plain = write_crate(root, "plain", false)?;
    for profile in [&[] as &[_], &["--release"]] {
        for package in [&annotated, &plain] {
            build(root, package, profile)?;
        }
    }
    let size = |name: &str| -> Result<f64, Box<dyn Error>> {
        Ok(fs::metadata(root.join("target/release").join(name))?.len() as f64)
    };
    let (ours, theirs) = (size("annotated")?, size("plain")?);
    println!("macros.binary_size: annotated {ours} bytes, plain {theirs} bytes (release)");
    println!("ratio macros.binary_size {:.3}", ours / theirs);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (package, samples) in [(&annotated, &mut ours), (&plain, &mut theirs)] {
            touch(&package.join("src/main.rs"))?;
            let start = Instant::now();
            build(root, package, &[])?;
            samples.push(start.elapsed().as_secs_f64());
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "macros.compile_time: annotated {ours:.2} s, plain {theirs:.2} s (dev, median of {ROUNDS})"
    );
    println!("ratio macros.compile_time {:.3}", ours / theirs);
    Ok(())
}

/// Both crates depend on the library, so that what differs is the attribute alone.
fn write_crate(root: &Path, name: &str, annotated: bool) -> Result<PathBuf, Box<dyn Error>> {
    let package = root.join(name);
    fs::create_dir_all(package.join("src"))?;
    let tollgate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    fs::write(
        package.join("Cargo.toml"),
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
             [dependencies]\ntollgate = {{ path = {tollgate:?} }}\n\
             axum = {{ version = \"0.8\", features = [\"json\", \"query\"] }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n\
             tokio = {{ version = \"1\", features = [\"net\", \"rt-multi-thread\", \"macros\", \"sync\"] }}\n\
             tracing = \"0.1\"\n\
             [profile.release]\nstrip = true\n[workspace]\n"
        ),
    )?;
    fs::write(package.join("src/main.rs"), source(annotated))?;
    Ok(package)
}

/// A service of the usual kind: resources that are listed, shown, created and changed.
fn source(annotated: bool) -> String {
    let mut source = String::from(PRELUDE);
    let mut routes = String::new();
    for index in 0..HANDLERS {
        if annotated {
            let _ = writeln!(source, "#[tollgate::rate_limit({}, per = 60)]", index + 1);
        }
        let (method, path, handler) = KINDS[index % KINDS.len()];
        source.push_str(&handler.replace("INDEX", &index.to_string()));
        let _ = writeln!(routes, "        .route(\"/r{index}{path}\", {method}(h{index}))");
    }
    source.push_str(&MAIN.replace("ROUTES", &routes));
    source
}

const PRELUDE: &str = r#"
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tollgate::{Limiter, MemoryBackend, set_limiter};

#[derive(Clone, Default)]
struct App {
    items: Arc<RwLock<BTreeMap<u64, Item>>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Item {
    id: u64,
    name: String,
    tags: Vec<String>,
    price: f64,
}

#[derive(Deserialize)]
struct Page {
    offset: Option<usize>,
    limit: Option<usize>,
    tag: Option<String>,
}

enum AppError {
    NotFound(u64),
    Invalid(String),
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound(id) => (StatusCode::NOT_FOUND, format!("no item {id}")).into_response(),
            Self::Invalid(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        }
    }
}

impl App {
    async fn find(&self, id: u64) -> Result<Item, AppError> {
        self.items.read().await.get(&id).cloned().ok_or(AppError::NotFound(id))
    }

    async fn store(&self, item: Item) {
        self.items.write().await.insert(item.id, item);
    }
}
"#;

/// Method, path and source of each kind.
const KINDS: [(&str, &str, &str); 4] = [
    (
        "get",
        "",
        r#"async fn hINDEX(State(app): State<App>, Query(page): Query<Page>) -> Json<Vec<Item>> {
    let items = app.items.read().await;
    let matching = items.values().filter(|item| match &page.tag {
        Some(tag) => item.tags.contains(tag),
        None => item.id % (INDEX + 1) == 0,
    });
    let mut found: Vec<Item> = matching
        .skip(page.offset.unwrap_or(0))
        .take(page.limit.unwrap_or(50).min(100))
        .cloned()
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    tracing::debug!(count = found.len(), "listed INDEX");
    Json(found)
}
"#,
    ),
    (
        "get",
        "/{id}",
        r#"async fn hINDEX(State(app): State<App>, Path(id): Path<u64>) -> Result<Json<Item>, AppError> {
    let mut item = app.find(id).await?;
    if item.tags.iter().any(|tag| tag.starts_with("hidden-INDEX")) {
        return Err(AppError::NotFound(id));
    }
    item.tags.retain(|tag| !tag.is_empty());
    item.name = format!("{} (INDEX)", item.name.trim());
    tracing::debug!(id, name = %item.name, "shown INDEX");
    Ok(Json(item))
}
"#,
    ),
    (
        "post",
        "",
        r#"async fn hINDEX(
    State(app): State<App>,
    Json(mut item): Json<Item>,
) -> Result<(StatusCode, Json<Item>), AppError> {
    if item.name.is_empty() || item.name.len() > 100 + INDEX {
        return Err(AppError::Invalid(format!("a name of {} letters", item.name.len())));
    }
    if !item.price.is_finite() || item.price < 0.0 {
        return Err(AppError::Invalid(format!("a price of {}", item.price)));
    }
    item.tags.push("new-INDEX".to_owned());
    item.tags.dedup();
    app.store(item.clone()).await;
    tracing::info!(id = item.id, "created INDEX");
    Ok((StatusCode::CREATED, Json(item)))
}
"#,
    ),
    (
        "put",
        "/{id}",
        r#"async fn hINDEX(
    State(app): State<App>,
    Path(id): Path<u64>,
    Json(change): Json<Item>,
) -> Result<Json<Item>, AppError> {
    let mut item = app.find(id).await?;
    if change.id != id {
        return Err(AppError::Invalid(format!("{} is not {id}", change.id)));
    }
    item.name = change.name;
    item.price = (change.price * 100.0).round() / 100.0;
    for tag in change.tags.into_iter().filter(|tag| tag.len() > INDEX % 7) {
        if !item.tags.contains(&tag) {
            item.tags.push(tag);
        }
    }
    app.store(item.clone()).await;
    tracing::info!(id, "changed INDEX");
    Ok(Json(item))
}
"#,
    ),
];

const MAIN: &str = r#"
#[tokio::main]
async fn main() {
    set_limiter(Limiter::new(MemoryBackend::new()));
    let app: Router = Router::new()
ROUTES        .with_state(App::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    axum::serve(listener, app).await.unwrap();
}
"#;

fn build(root: &Path, package: &Path, profile: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet"])
        .args(profile)
        .current_dir(package)
        // Otherwise unchanged functions would not be compiled again.
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", root.join("target"))
        .status()?;
    if status.success() { Ok(()) } else { Err("the crate does not build".into()) }
}

fn touch(file: &Path) -> Result<(), Box<dyn Error>> {
    let source = fs::read(file)?;
    Ok(fs::write(file, source)?)
}

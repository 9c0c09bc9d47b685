//! What the attribute costs: a crate with 200 annotated handlers against the same without.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::median;

const HANDLERS: usize = 200;
const ROUNDS: usize = 5;

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let root = std::env::temp_dir().join("tollgate-macros");
    let result = compare(&root);
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

    for (name, profile) in [("compile_time", &[] as &[_])] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (package, samples) in [(&annotated, &mut ours), (&plain, &mut theirs)] {
                touch(&package.join("src/main.rs"))?;
                let start = Instant::now();
                build(root, package, profile)?;
                samples.push(start.elapsed().as_secs_f64());
            }
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("macros.{name}: annotated {ours:.2} s, plain {theirs:.2} s (median of {ROUNDS})");
        println!("ratio macros.{name} {:.3}", ours / theirs);
    }
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
             tokio = {{ version = \"1\", features = [\"net\", \"rt-multi-thread\", \"macros\"] }}\n\
             [profile.release]\nstrip = true\n[workspace]\n"
        ),
    )?;
    fs::write(package.join("src/main.rs"), source(annotated))?;
    Ok(package)
}

/// Handlers of the kinds that services have.
fn source(annotated: bool) -> String {
    let mut source = String::from(
        "use axum::extract::{Json, Path, Query, State};\nuse axum::http::StatusCode;\n\
         use axum::routing::{get, post};\nuse axum::Router;\nuse serde::{Deserialize, Serialize};\n\
         use tollgate::{Limiter, MemoryBackend, set_limiter};\n\
         #[derive(Clone)] struct App { name: String }\n\
         #[derive(Serialize, Deserialize)] struct Item { id: u64, name: String, tags: Vec<String> }\n\
         #[derive(Deserialize)] struct Page { offset: u64, limit: u64 }\n",
    );
    let mut routes = String::new();
    for index in 0..HANDLERS {
        let attribute = if annotated {
            format!("#[tollgate::rate_limit({}, per = 60)]\n", index + 1)
        } else {
            String::new()
        };
        let (method, body) = match index % 4 {
            0 => (
                "get",
                format!(
                    "async fn h{index}(State(app): State<App>, Path(id): Path<u64>) -> \
                     Result<Json<Item>, StatusCode> {{\n    if id == {index} {{ return \
                     Err(StatusCode::NOT_FOUND); }}\n    Ok(Json(Item {{ id, name: \
                     app.name.clone(), tags: vec![] }}))\n}}\n"
                ),
            ),
            1 => (
                "post",
                format!(
                    "async fn h{index}(State(app): State<App>, Json(mut item): Json<Item>) -> \
                     Json<Item> {{\n    item.tags.push(format!(\"{{}}-{index}\", app.name));\n    \
                     tokio::task::yield_now().await;\n    Json(item)\n}}\n"
                ),
            ),
            2 => (
                "get",
                format!(
                    "async fn h{index}(Query(page): Query<Page>) -> String {{\n    (page.offset..\
                     page.offset + page.limit).map(|n| (n * {index}).to_string()).collect()\n}}\n"
                ),
            ),
            _ => ("get", format!("async fn h{index}() -> &'static str {{ \"{index}\" }}\n")),
        };
        source.push_str(&attribute);
        source.push_str(&body);
        let path = if index % 4 == 0 { "/{id}" } else { "" };
        let _ = writeln!(routes, "        .route(\"/h{index}{path}\", {method}(h{index}))");
    }
    let _ = write!(
        source,
        "#[tokio::main]\nasync fn main() {{\n    set_limiter(Limiter::new(MemoryBackend::new()));\n    \
         let app: Router = Router::new()\n{routes}        .with_state(App {{ name: \
         String::from(\"app\") }});\n    let listener = \
         tokio::net::TcpListener::bind(\"127.0.0.1:0\").await.unwrap();\n    axum::serve(listener, \
         app).await.unwrap();\n}}\n"
    );
    source
}

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

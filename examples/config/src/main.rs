//! Configuration by file and environment, and overrides that follow the file while the program
//! runs.
//!
//! ```console
//! cargo run -p config
//! TOLLGATE_BACKEND__MAX_KEYS=0 cargo run -p config    # says what is wrong, and ends
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tollgate::{Config, Limiter, RateLimited, rate_limit, set_limiter};

/// The file says 5.
#[rate_limit(100, per = minute, name = "searches", key = args(user))]
async fn search(user: &str) -> Result<(), RateLimited> {
    Ok(())
}

/// The file lets it refuse nobody.
#[rate_limit(1, per = hour, name = "exports", key = args(user))]
async fn export(user: &str) -> Result<(), RateLimited> {
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt::init();

    // A copy, because this example edits it.
    let path = std::env::temp_dir().join(format!("tollgate-example-{}.toml", std::process::id()));
    fs::write(&path, include_str!("../tollgate.toml"))?;
    let shown = show(&path).await;
    fs::remove_file(&path)?;
    shown
}

async fn show(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::load(path)?;
    let limiter = Limiter::from_config(&config)?;
    limiter.initialize().await?;
    for (policy, changes) in limiter.overrides().iter() {
        println!("{policy}: {changes}");
    }
    let watcher = config.watch(limiter.clone())?;
    set_limiter(limiter.clone());

    println!("of 20 searches {} pass, of 20 exports {}", searches().await, exports().await);

    let kept = limiter.overrides();
    fs::write(path, fs::read_to_string(path)?.replace("limit = 5", "limit = 8"))?;
    until(|| limiter.overrides() != kept).await?;
    println!("the limit is 8 now: of 20 more searches {} pass", searches().await);

    fs::write(path, fs::read_to_string(path)?.replace("limit = 8", "limti = 9"))?;
    until(|| watcher.error().is_some()).await?;
    if let Some(error) = watcher.error() {
        println!("a typing mistake changes nothing: {error}");
    }
    Ok(())
}

async fn searches() -> usize {
    let mut passed = 0;
    for _ in 0..20 {
        passed += usize::from(search("alice").await.is_ok());
    }
    passed
}

async fn exports() -> usize {
    let mut passed = 0;
    for _ in 0..20 {
        passed += usize::from(export("alice").await.is_ok());
    }
    passed
}

async fn until(holds: impl Fn() -> bool) -> Result<(), Box<dyn Error>> {
    let held = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), held).await;
    waited.map_err(|_| "nobody has noticed that the file has changed".into())
}

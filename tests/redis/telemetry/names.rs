//! The documentation and the dashboard name the metrics that there are, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tollgate::{Limiter, MemoryBackend, Metrics, Policy, Quota, RedisBackend};

use support::exporter::Exporter;
use support::redis::RedisServer;

const TABLE: &str = include_str!("../../../runtime/src/docs/monitoring.md");
const DASHBOARD: &str = include_str!("../../../examples/monitoring/dashboard.json");

/// All metrics with their labels, as a memory and a Redis backend export them.
async fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let exporter = Exporter::new();
    let _listening = exporter.listen();
    let server = RedisServer::start();
    let backend = RedisBackend::builder(&server.url()).deadline(Duration::from_secs(60));
    let redis = Limiter::builder(backend.build().unwrap()).metrics(Metrics::new().servers());
    let policy = Policy::new("p", Quota::new(1, Duration::from_secs(3_600)));
    for limiter in [redis.build(), Limiter::new(MemoryBackend::new())] {
        let _ = limiter.check(&policy, "s").await.unwrap();
        let _ = limiter.wait(&policy, "s", 1, Duration::ZERO).await.unwrap();
        limiter.record_metrics().await;
    }
    exporter.metrics()
}

/// The labels in backticks of each row of the table.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| `tollgate_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    cells
        .map(|cells| {
            let name: BTreeSet<String> = names(cells[1]);
            (name.into_iter().next().unwrap(), names(cells[3]))
        })
        .collect()
}

#[tokio::test]
async fn the_table_has_them_all_with_their_labels() {
    assert_eq!(documented(), exported().await);
}

#[tokio::test]
async fn the_dashboard_asks_only_for_what_there_is() {
    let exported = exported().await;
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut asked = BTreeSet::new();
    for target in targets {
        let query = target["expr"].as_str().unwrap();
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("tollgate_")) {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| word.strip_suffix(end));
            let name = base.filter(|base| exported.contains_key(*base)).unwrap_or(word);
            assert!(exported.contains_key(name), "{name} in {query}");
            asked.insert(name.to_owned());
        }
        // What it groups by is a label of what it asks for, or Prometheus's own.
        for group in query.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in group.split(',').map(str::trim).filter(|label| *label != "le") {
                let known = asked.iter().any(|name| exported[name].contains(label));
                assert!(known || label == "instance", "{label} in {query}");
            }
        }
    }
    let missing: Vec<_> = exported.keys().filter(|name| !asked.contains(*name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "nothing is exported that nobody sees");
}

//! A recorder for one test or one program, and what it exports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

pub struct Exporter(Arc<PrometheusRecorder>);

/// One exported line.
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Exporter {
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&[0.001, 0.1, 1.0, 100.0]).unwrap();
        Self(Arc::new(builder.build_recorder()))
    }

    /// Records what the whole program does, which has only one.
    pub fn of_the_program() -> Self {
        let exporter = Self::new();
        metrics::set_global_recorder(Arc::clone(&exporter.0)).unwrap();
        exporter
    }

    /// Records what this thread does.
    pub fn listen(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(&self.0)
    }

    pub fn text(&self) -> String {
        self.0.handle().render()
    }

    fn series(&self) -> Vec<Series> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(Series::parse).collect()
    }

    /// How many series there are.
    pub fn count(&self) -> usize {
        self.series().len()
    }

    /// The sum of the series of this name that have these labels; `None` if there are none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let series = self.series();
        let has = |series: &&Series| {
            let is =
                |(key, value): &(&str, &str)| series.labels.get(*key).is_some_and(|v| v == value);
            series.name == name && labels.iter().all(is)
        };
        series.iter().filter(has).map(|series| series.value).reduce(|sum, value| sum + value)
    }

    /// The metrics, each with the names of its labels.
    pub fn metrics(&self) -> BTreeMap<String, BTreeSet<String>> {
        let text = self.text();
        let kinds: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
        let mut metrics = BTreeMap::<String, BTreeSet<String>>::new();
        for Series { name, mut labels, .. } in self.series() {
            labels.remove("le");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_histogram = |base: &&str| kinds.get(base) == Some(&"histogram");
            let name = base.filter(is_histogram).unwrap_or(&name).to_owned();
            assert!(kinds.contains_key(name.as_str()), "{name} has no type");
            metrics.entry(name).or_default().extend(labels.into_keys());
        }
        metrics
    }
}

impl Series {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let pairs = labels.split("\",").filter(|pair| !pair.is_empty());
        let labels = pairs.map(|pair| {
            let (key, value) = pair.split_once("=\"").unwrap();
            (key.to_owned(), value.trim_end_matches('"').to_owned())
        });
        Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
    }
}

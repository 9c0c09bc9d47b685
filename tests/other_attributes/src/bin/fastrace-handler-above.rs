//! fastrace `trace`|handler|above

use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::routing::get;
use fastrace::collector::{Config, Reporter};
use fastrace::prelude::*;
use other_attributes::{admits, run};
use tollgate::rate_limit;

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<SpanRecord>>>);

impl Reporter for Spans {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        self.0.lock().unwrap().extend(spans);
    }
}

impl Spans {
    fn summary(&self) -> String {
        fastrace::flush();
        let spans = self.0.lock().unwrap();
        let traced: Vec<_> = spans.iter().filter(|span| span.name != "root").collect();
        let first = traced.first().map(|span| format!("`{}` {:?}", span.name, span.properties));
        format!("{} spans, the first is {}", traced.len(), first.unwrap_or_default())
    }
}

#[fastrace::trace(properties = { "id": "{id:?}" })]
#[rate_limit(2, per = 60)]
async fn show(id: Path<u32>) -> String {
    id.to_string()
}

#[tokio::main]
async fn main() {
    let spans = Spans::default();
    fastrace::set_reporter(spans.clone(), Config::default());
    let router = axum::Router::new().route("/orders/{id}", get(show));
    run(async |_| admits(&router, "/orders/1").in_span(Span::root("root", SpanContext::random())).await, async || spans.summary()).await;
}

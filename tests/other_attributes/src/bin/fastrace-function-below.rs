//! fastrace `trace`|function|below

use std::sync::{Arc, Mutex};

use fastrace::collector::{Config, Reporter};
use fastrace::prelude::*;
use other_attributes::{Error, run};
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

#[rate_limit(2, per = 60, key = args())]
#[fastrace::trace(properties = { "id": "{id:?}" })]
async fn order(id: u32) -> Result<u32, Error> {
    Ok(id)
}

#[tokio::main]
async fn main() {
    let spans = Spans::default();
    fastrace::set_reporter(spans.clone(), Config::default());
    run(async |id| order(id).in_span(Span::root("root", SpanContext::random())).await.is_ok(), async || spans.summary()).await;
}

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Path, Request, State};
use tollgate::rate_limit;

struct App;
struct Signed(Bytes);

impl FromRequest<App> for Signed {
    type Rejection = ();

    async fn from_request(_: Request, _: &App) -> Result<Self, ()> {
        Err(())
    }
}

type Text = String;

#[rate_limit(100, per = 60)]
async fn json(_: Json<u32>, _: Path<u32>) {}

#[rate_limit(100, per = 60)]
async fn alias(_: State<u32>, _: Text, _: Path<u32>) {}

#[rate_limit(100, per = 60)]
async fn own_extractor(_: Signed, _: Path<u32>) {}

#[rate_limit(100, per = 60)]
async fn two(_: Option<Json<u32>>, _: Result<Bytes, ()>, _: Body) {}

fn main() {}

#[doc(hidden)]
pub struct __rate_limit_create;
impl ::tollgate::__private::Annotated for __rate_limit_create {
    fn limits() -> &'static [::tollgate::__private::HttpLimit] {
        const __TOLLGATE_SHOWS: ::tollgate::__private::Shown = {
            #[allow(unused_imports)]
            use ::tollgate::__private::IsNoExtractor as _;
            #[allow(unused_mut)]
            let mut shown = ::tollgate::__private::Shown::NOTHING;
            {
                shown = shown.and(<::tollgate::__private::Argument<State<App>>>::SHOWN);
            }
            {
                shown = shown.and(<::tollgate::__private::Argument<Json<Body>>>::SHOWN);
            }
            shown
        };
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 1usize] = [
            ::tollgate::__private::HttpLimit::new(
                    ::tollgate::__private::Limit::new(
                            ::core::concat!(::core::module_path!(), "::create"),
                            "create",
                            ::tollgate::__private::Naming::Path,
                            &[::tollgate::__private::literal_quota(100, 60000000u64)],
                            ::tollgate::__private::Site::of::<
                                __rate_limit_create,
                            >("create", ::core::file!(), ::core::line!(), "", false),
                        )
                        .on_error(::tollgate::__private::OnError::Open),
                    ::tollgate::__private::Key::from_part(
                        ::tollgate::__private::KeyPart::Ip,
                    ),
                    ::tollgate::__private::Cost::Fixed(1),
                )
                .shows(__TOLLGATE_SHOWS)
                .settle_usage_of(__TOLLGATE_SHOWS),
        ];
        #[::tollgate::__private::linkme::distributed_slice(
            ::tollgate::__private::POLICIES
        )]
        #[linkme(crate = ::tollgate::__private::linkme)]
        static __TOLLGATE_REGISTERED_0: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[0usize]
            .limit()
            .registered();
        &__TOLLGATE_LIMITS
    }
}
#[cfg(not(doc))]
::tollgate::__private::arguments! {
    in_parts report_in_parts State < App >, _; in_request report_in_request Json < Body
    >, _;
}
#[cfg(doc)]
/// Documented.
#[tracing::instrument]
pub async fn create(
    State(app): State<App>,
    Json(body): Json<Body>,
) -> Result<impl IntoResponse, Error> {
    app.create(body).await
}
#[cfg(not(doc))]
/// Documented.
pub fn create(
    app: ::tollgate::__private::GivenByRouter,
    body: ::tollgate::__private::ArgumentsGivenByRouter<
        __rate_limit_create,
        (State<App>, Json<Body>),
    >,
) -> impl ::core::future::Future<Output = ::tollgate::__private::Response> {
    #[allow(clippy::unused_async)]
    #[tracing::instrument]
    async fn create(
        State(app): State<App>,
        Json(body): Json<Body>,
    ) -> Result<impl IntoResponse, Error> {
        app.create(body).await
    }
    let ::tollgate::__private::ArgumentsGivenByRouter(
        admission,
        (argument_0, argument_1),
        _,
    ) = body;
    ::tollgate::__private::HandlerFuture::new(
        admission,
        create(argument_0, argument_1),
        ::tollgate::__private::IntoLimitedResponse::into_limited,
    )
}

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
        const _: () = {
            #[allow(unused_imports)]
            use ::tollgate::__private::IsNoExtractor as _;
            {
                if <::tollgate::__private::Argument<State<App>>>::SHOWN.has_usage() {
                    ::core::panic!(
                        "this handler has several limits: write `settle = usage` in the attribute of the one that this `Usage` counts for"
                    )
                }
            }
            {
                if <::tollgate::__private::Argument<Json<Body>>>::SHOWN.has_usage() {
                    ::core::panic!(
                        "this handler has several limits: write `settle = usage` in the attribute of the one that this `Usage` counts for"
                    )
                }
            }
        };
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 2usize] = [
            ::tollgate::__private::HttpLimit::new(
                    {
                        const __TOLLGATE_IN_FLIGHT: ::core::primitive::u32 = 20;
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::in_flight_error(
                            __TOLLGATE_IN_FLIGHT,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        ::tollgate::__private::Limit::new(
                                ::core::concat!(::core::module_path!(), "::create"),
                                "create",
                                ::tollgate::__private::Naming::Path,
                                &[],
                                ::tollgate::__private::Site::of::<
                                    __rate_limit_create,
                                >("create", ::core::file!(), ::core::line!(), "", false),
                            )
                            .in_flight(
                                __TOLLGATE_IN_FLIGHT,
                                ::core::option::Option::None,
                            )
                    },
                    ::tollgate::__private::Key::from_part(
                        ::tollgate::__private::KeyPart::Ip,
                    ),
                    ::tollgate::__private::Cost::Fixed(1),
                )
                .shows(__TOLLGATE_SHOWS),
            ::tollgate::__private::HttpLimit::new(
                    {
                        const __TOLLGATE_IN_FLIGHT: ::core::primitive::u32 = MOST;
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::in_flight_error(
                            __TOLLGATE_IN_FLIGHT,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        const __TOLLGATE_HOLD: ::core::time::Duration = ::tollgate::__private::Period::new(
                                HOLD,
                            )
                            .get();
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::hold_error(
                            __TOLLGATE_HOLD,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        ::tollgate::__private::Limit::new(
                                ::core::concat!(::core::module_path!(), "::create+global"),
                                "create+global",
                                ::tollgate::__private::Naming::Path,
                                &[::tollgate::__private::literal_quota(5, 1000000u64)],
                                ::tollgate::__private::Site::of::<
                                    __rate_limit_create,
                                >("create", ::core::file!(), ::core::line!(), "", false),
                            )
                            .in_flight(
                                __TOLLGATE_IN_FLIGHT,
                                ::core::option::Option::Some(__TOLLGATE_HOLD),
                            )
                    },
                    ::tollgate::__private::Key::from_part(
                        ::tollgate::__private::KeyPart::Global,
                    ),
                    ::tollgate::__private::Cost::Fixed(1),
                )
                .wait(::core::time::Duration::from_micros(5000000u64))
                .shows(__TOLLGATE_SHOWS),
        ];
        #[::tollgate::__private::linkme::distributed_slice(
            ::tollgate::__private::POLICIES
        )]
        #[linkme(crate = ::tollgate::__private::linkme)]
        static __TOLLGATE_REGISTERED_0: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[0usize]
            .limit()
            .registered();
        #[::tollgate::__private::linkme::distributed_slice(
            ::tollgate::__private::POLICIES
        )]
        #[linkme(crate = ::tollgate::__private::linkme)]
        static __TOLLGATE_REGISTERED_1: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[1usize]
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

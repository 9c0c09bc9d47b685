#[doc(hidden)]
struct __rate_limit_create;
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
                    ),
                    ::tollgate::__private::Key::from_part(
                        ::tollgate::__private::KeyPart::Ip,
                    ),
                    ::tollgate::__private::Cost::Fixed(1),
                )
                .shows(__TOLLGATE_SHOWS),
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
async fn create(State(app): State<App>, Json(mut body): Json<Body>) -> Json<Order> {
    app.create(body).await
}
#[cfg(not(doc))]
async fn create(
    _: ::tollgate::__private::GivenByRouter,
    ::tollgate::__private::ArgumentsGivenByRouter(
        __guard,
        (State(app), Json(mut body)),
        _,
    ): ::tollgate::__private::ArgumentsGivenByRouter<
        ::tollgate::__private::ThenArguments<__rate_limit_create>,
        (State<App>, Json<Body>),
    >,
) -> ::tollgate::__private::Response {
    let __arguments = ::tollgate::__private::ArgumentValues::new(
        &[&(body.email), &(app.id), &(body.id)],
        &[
            ::tollgate::__private::units(body.items.len()),
            ::tollgate::__private::units(body.units),
        ],
    );
    let __guard = {
        struct __TollgateHere;
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 2usize] = [
            ::tollgate::__private::HttpLimit::new(
                ::tollgate::__private::Limit::new(
                    ::core::concat!(
                        ::core::module_path!(), "::create+(args(body.email,app.id),ip)"
                    ),
                    "create+(args(body.email,app.id),ip)",
                    ::tollgate::__private::Naming::Path,
                    &[::tollgate::__private::literal_quota(5, 1000000u64)],
                    ::tollgate::__private::Site::of::<
                        __TollgateHere,
                    >("create", ::core::file!(), ::core::line!(), "", false),
                ),
                ::tollgate::__private::Key::from_parts(
                    &[
                        ::tollgate::__private::KeyPart::Function(
                            ::tollgate::__private::argument::<0usize>,
                        ),
                        ::tollgate::__private::KeyPart::Function(
                            ::tollgate::__private::argument::<1usize>,
                        ),
                        ::tollgate::__private::KeyPart::Ip,
                    ],
                ),
                ::tollgate::__private::Cost::Function(
                    ::tollgate::__private::argument_cost::<0usize>,
                ),
            ),
            ::tollgate::__private::HttpLimit::new(
                    ::tollgate::__private::Limit::new(
                        ::core::concat!(
                            ::core::module_path!(), "::create+args(body.id)"
                        ),
                        "create+args(body.id)",
                        ::tollgate::__private::Naming::Path,
                        &[::tollgate::__private::literal_quota(5, 1000000u64)],
                        ::tollgate::__private::Site::of::<
                            __TollgateHere,
                        >("create", ::core::file!(), ::core::line!(), "", false),
                    ),
                    ::tollgate::__private::Key::from_part(
                        ::tollgate::__private::KeyPart::Function(
                            ::tollgate::__private::argument::<2usize>,
                        ),
                    ),
                    ::tollgate::__private::Cost::Function(
                        ::tollgate::__private::argument_cost::<1usize>,
                    ),
                )
                .wait(::core::time::Duration::from_micros(1000000u64)),
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
        match __guard.check_arguments(&__TOLLGATE_LIMITS, __arguments).await {
            ::core::result::Result::Ok(__guard) => __guard,
            ::core::result::Result::Err(__refused) => return __refused,
        }
    };
    let __output = ::tollgate::__private::require_send(async move {
            if false {
                return ::tollgate::__private::any::<Json<Order>>();
            }
            { app.create(body).await }
        })
        .await;
    let __response = ::tollgate::__private::IntoLimitedResponse::into_limited(__output);
    __guard.finish(__response).await
}

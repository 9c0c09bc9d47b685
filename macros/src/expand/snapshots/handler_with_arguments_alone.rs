#[cfg(doc)]
async fn answer(usage: Usage, Json(body): Json<Body>) -> Response {
    stream(usage, body)
}
#[cfg(not(doc))]
async fn answer(
    _: ::tollgate::__private::GivenByRouter,
    ::tollgate::__private::ArgumentsGivenByRouter(
        __guard,
        (usage, Json(body)),
        _,
    ): ::tollgate::__private::ArgumentsGivenByRouter<
        ::tollgate::__private::ThenArguments<()>,
        (Usage, Json<Body>),
    >,
) -> ::tollgate::__private::Response {
    ::tollgate::__private::arguments! {
        in_parts report_in_parts Usage, _; in_request report_in_request Json < Body >, _;
    }
    let __arguments = ::tollgate::__private::ArgumentValues::new(&[&(body.team)], &[]);
    let __guard = {
        const __TOLLGATE_SHOWS: ::tollgate::__private::Shown = {
            #[allow(unused_imports)]
            use ::tollgate::__private::IsNoExtractor as _;
            #[allow(unused_mut)]
            let mut shown = ::tollgate::__private::Shown::NOTHING;
            {
                shown = shown.and(<::tollgate::__private::Argument<Usage>>::SHOWN);
            }
            {
                shown = shown.and(<::tollgate::__private::Argument<Json<Body>>>::SHOWN);
            }
            shown
        };
        struct __TollgateHere;
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 1usize] = [
            ::tollgate::__private::HttpLimit::new(
                    ::tollgate::__private::Limit::new(
                            ::core::concat!(::core::module_path!(), "::answer"),
                            "answer",
                            ::tollgate::__private::Naming::Path,
                            &[::tollgate::__private::literal_quota(10_000, 60000000u64)],
                            ::tollgate::__private::Site::of::<
                                __TollgateHere,
                            >("answer", ::core::file!(), ::core::line!(), "", false),
                        )
                        .ban(
                            5,
                            ::core::time::Duration::from_micros(60000000u64),
                            1,
                            ::core::option::Option::None,
                        ),
                    ::tollgate::__private::Key::from_parts(
                        &[
                            ::tollgate::__private::KeyPart::Function(
                                ::tollgate::__private::argument::<0usize>,
                            ),
                            ::tollgate::__private::KeyPart::Ip,
                        ],
                    ),
                    ::tollgate::__private::Cost::Fixed(1),
                )
                .settle_usage_of(__TOLLGATE_SHOWS),
        ];
        #[::tollgate::__private::linkme::distributed_slice(
            ::tollgate::__private::POLICIES
        )]
        #[linkme(crate = ::tollgate::__private::linkme)]
        static __TOLLGATE_REGISTERED_0: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[0usize]
            .limit()
            .registered();
        match __guard.check_arguments(&__TOLLGATE_LIMITS, __arguments).await {
            ::core::result::Result::Ok(__guard) => __guard,
            ::core::result::Result::Err(__refused) => return __refused,
        }
    };
    let __output = ::tollgate::__private::require_send(async move {
            if false {
                return ::tollgate::__private::any::<Response>();
            }
            { stream(usage, body) }
        })
        .await;
    let __response = ::tollgate::__private::IntoLimitedResponse::into_limited(__output);
    __guard.finish(__response).await
}

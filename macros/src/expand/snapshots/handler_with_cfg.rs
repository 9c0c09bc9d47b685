#[doc(hidden)]
struct __rate_limit_show;
impl ::tollgate::__private::Annotated for __rate_limit_show {
    fn limits() -> &'static [::tollgate::__private::HttpLimit] {
        const __TOLLGATE_SHOWS: ::tollgate::__private::Shown = {
            #[allow(unused_imports)]
            use ::tollgate::__private::IsNoExtractor as _;
            #[allow(unused_mut)]
            let mut shown = ::tollgate::__private::Shown::NOTHING;
            #[cfg(unix)]
            {
                shown = shown.and(<::tollgate::__private::Argument<Path<u32>>>::SHOWN);
            }
            {
                shown = shown.and(<::tollgate::__private::Argument<String>>::SHOWN);
            }
            shown
        };
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 1usize] = [
            ::tollgate::__private::HttpLimit::new(
                    ::tollgate::__private::Limit::new(
                        ::core::concat!(::core::module_path!(), "::show"),
                        "show",
                        ::tollgate::__private::Naming::Path,
                        &[::tollgate::__private::literal_quota(100, 60000000u64)],
                        ::tollgate::__private::Site::of::<
                            __rate_limit_show,
                        >("show", ::core::file!(), ::core::line!(), "", false),
                    ),
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
#[cfg(all(not(doc), unix))]
::tollgate::__private::arguments! {
    in_parts report_in_parts Path < u32 >, _; in_request report_in_request String, _;
}
#[cfg(all(not(doc), not(unix)))]
::tollgate::__private::arguments! {
    in_request report_in_request String, _;
}
#[cfg(doc)]
#[debug_handler(state = App)]
async fn show(#[cfg(unix)] Path(id): Path<u32>, #[allow(unused)] body: String) {}
#[cfg(all(not(doc), unix))]
fn show(
    id: ::tollgate::__private::GivenByRouter,
    body: ::tollgate::__private::ArgumentsGivenByRouter<
        __rate_limit_show,
        (Path<u32>, String),
    >,
) -> impl ::core::future::Future<Output = ::tollgate::__private::Response> {
    #[allow(clippy::unused_async)]
    #[debug_handler(state = App)]
    async fn show(Path(id): Path<u32>, #[allow(unused)] body: String) {}
    let ::tollgate::__private::ArgumentsGivenByRouter(
        admission,
        (argument_0, argument_1),
        _,
    ) = body;
    ::tollgate::__private::HandlerFuture::new(
        admission,
        show(argument_0, argument_1),
        ::tollgate::__private::IntoLimitedResponse::into_limited,
    )
}
#[cfg(all(not(doc), not(unix)))]
fn show(
    body: ::tollgate::__private::ArgumentsGivenByRouter<__rate_limit_show, (String,)>,
) -> impl ::core::future::Future<Output = ::tollgate::__private::Response> {
    #[allow(clippy::unused_async)]
    #[debug_handler(state = App)]
    async fn show(#[allow(unused)] body: String) {}
    let ::tollgate::__private::ArgumentsGivenByRouter(admission, (argument_0,), _) = body;
    ::tollgate::__private::HandlerFuture::new(
        admission,
        show(argument_0),
        ::tollgate::__private::IntoLimitedResponse::into_limited,
    )
}

#[doc(hidden)]
pub struct __rate_limit_create;
impl ::tollgate::__private::Annotated for __rate_limit_create {
    fn limits() -> &'static [::tollgate::__private::HttpLimit] {
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 2usize] = [
            ::tollgate::__private::HttpLimit::new(
                ::tollgate::__private::Limit::new(
                    ::core::concat!(::core::module_path!(), "::create"),
                    "create",
                    false,
                    &[
                        ::tollgate::__private::literal_quota(100, 60000000u64),
                        ::tollgate::__private::literal_quota(1_000, 3600000000u64),
                    ],
                    (::core::file!(), ::core::line!()),
                ),
                ::tollgate::__private::Key::from_part(
                    ::tollgate::__private::KeyPart::Ip,
                ),
                ::tollgate::__private::Cost::Fixed(1),
            ),
            ::tollgate::__private::HttpLimit::new(
                ::tollgate::__private::Limit::new(
                    ::core::concat!(::core::module_path!(), "::create+global"),
                    "create+global",
                    false,
                    &[::tollgate::__private::literal_quota(5, 1000000u64)],
                    (::core::file!(), ::core::line!()),
                ),
                ::tollgate::__private::Key::from_part(
                    ::tollgate::__private::KeyPart::Global,
                ),
                ::tollgate::__private::Cost::Fixed(1),
            ),
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
/// Documented.
#[tracing::instrument]
pub async fn create(
    ::tollgate::__private::Checked(
        (guard, State(app)),
        _,
    ): ::tollgate::__private::Checked<__rate_limit_create, State<App>>,
    Json(body): Json<Body>,
) -> ::tollgate::__private::Response {
    let output = ::tollgate::__private::require_send(async move {
            if false {
                return ::tollgate::__private::any::<Result<_, Error>>();
            }
            { app.create(body).await }
        })
        .await;
    let response = ::tollgate::__private::IntoLimitedResponse::into_limited(output);
    guard.finish(response)
}

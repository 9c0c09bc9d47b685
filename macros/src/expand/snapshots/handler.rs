#[doc(hidden)]
pub struct __rate_limit_create;
const _: () = {
    static __TOLLGATE_LIMITS: [::tollgate::__private::HandlerLimit; 1usize] = [
        ::tollgate::__private::HandlerLimit::new(
            {
                ::tollgate::__private::Limit::new(
                    ::tollgate::__private::RegisteredPolicy::new(
                        ::tollgate::__private::policy(
                                ::core::concat!(::core::module_path!(), "::create"),
                                "create",
                                &[
                                    ::tollgate::__private::quota(
                                        100,
                                        ::core::time::Duration::from_micros(60000000u64),
                                    ),
                                ],
                            )
                            .on_error(::tollgate::__private::OnError::Open),
                        false,
                        ::core::file!(),
                        ::core::line!(),
                    ),
                )
            },
            ::tollgate::__private::Key::part(::tollgate::__private::Part::Ip),
            ::tollgate::__private::Cost::Fixed(1),
        ),
    ];
    #[::tollgate::__private::linkme::distributed_slice(::tollgate::__private::POLICIES)]
    #[linkme(crate = ::tollgate::__private::linkme)]
    static __TOLLGATE_REGISTERED_0: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[0usize]
        .limit()
        .registered();
    impl ::tollgate::__private::Annotated for __rate_limit_create {
        fn limits() -> &'static [::tollgate::__private::HandlerLimit] {
            &__TOLLGATE_LIMITS
        }
    }
};
/// Documented.
#[tracing::instrument]
pub async fn create(
    ::tollgate::__private::Guarded(
        guard,
        State(app),
        _,
    ): ::tollgate::__private::Guarded<__rate_limit_create, State<App>>,
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

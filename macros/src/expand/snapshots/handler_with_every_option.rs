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
                        "the limit would be settled at this `Usage`, and its `refund_if` gives the charge back: remove one of the two"
                    )
                }
            }
            {
                if <::tollgate::__private::Argument<Json<Body>>>::SHOWN.has_usage() {
                    ::core::panic!(
                        "the limit would be settled at this `Usage`, and its `refund_if` gives the charge back: remove one of the two"
                    )
                }
            }
        };
        #[allow(unused_qualifications)]
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 1usize] = [
            ::tollgate::__private::HttpLimit::new(
                    {
                        const __TOLLGATE_BAN_AFTER: ::core::primitive::u32 = AFTER;
                        const __TOLLGATE_BAN_FOR: ::core::time::Duration = ::core::time::Duration::from_micros(
                            900000000u64,
                        );
                        const __TOLLGATE_BAN_GROW: ::core::primitive::u32 = 2;
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::ban_after_error(
                            __TOLLGATE_BAN_AFTER,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::ban_for_error(
                            __TOLLGATE_BAN_FOR,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::ban_grow_error(
                            __TOLLGATE_BAN_GROW,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        const __TOLLGATE_BAN_MOST: ::core::time::Duration = ::tollgate::__private::Period::new(
                                LONGEST,
                            )
                            .get();
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::ban_most_error(
                            __TOLLGATE_BAN_FOR,
                            __TOLLGATE_BAN_MOST,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        ::tollgate::__private::Limit::new(
                                "orders",
                                "orders",
                                ::tollgate::__private::Naming::Name,
                                &[
                                    {
                                        const __TOLLGATE_LIMIT: ::core::primitive::u32 = LIMIT;
                                        const __TOLLGATE_PERIOD: ::core::time::Duration = ::tollgate::__private::Period::new(
                                                PERIOD,
                                            )
                                            .get();
                                        const _: () = if let ::core::option::Option::Some(
                                            mistake,
                                        ) = ::tollgate::__private::limit_error(
                                            __TOLLGATE_LIMIT,
                                            __TOLLGATE_PERIOD,
                                        ) {
                                            ::core::panic!("{}", mistake)
                                        };
                                        const _: () = if let ::core::option::Option::Some(
                                            mistake,
                                        ) = ::tollgate::__private::period_error(
                                            __TOLLGATE_LIMIT,
                                            __TOLLGATE_PERIOD,
                                        ) {
                                            ::core::panic!("{}", mistake)
                                        };
                                        {
                                            const __TOLLGATE_BURST: ::core::primitive::u32 = 5;
                                            const _: () = if let ::core::option::Option::Some(
                                                mistake,
                                            ) = ::tollgate::__private::burst_error(
                                                ::tollgate::__private::quota(
                                                    __TOLLGATE_LIMIT,
                                                    __TOLLGATE_PERIOD,
                                                ),
                                                __TOLLGATE_BURST,
                                            ) {
                                                ::core::panic!("{}", mistake)
                                            };
                                            ::tollgate::__private::burst(
                                                ::tollgate::__private::quota(
                                                    __TOLLGATE_LIMIT,
                                                    __TOLLGATE_PERIOD,
                                                ),
                                                __TOLLGATE_BURST,
                                            )
                                        }
                                    },
                                ],
                                ::tollgate::__private::Site::of::<
                                    __rate_limit_create,
                                >("create", ::core::file!(), ::core::line!(), "", false),
                            )
                            .algorithm(::tollgate::__private::Algorithm::Gcra)
                            .on_error(::tollgate::__private::OnError::Open)
                            .ban(
                                __TOLLGATE_BAN_AFTER,
                                __TOLLGATE_BAN_FOR,
                                __TOLLGATE_BAN_GROW,
                                ::core::option::Option::Some(__TOLLGATE_BAN_MOST),
                            )
                            .shadow()
                            .on_blocked(self::log)
                    },
                    ::tollgate::__private::Key::from_parts(
                        &[
                            ::tollgate::__private::KeyPart::Ip,
                            ::tollgate::__private::KeyPart::Function(|parts| ::tollgate::__private::resolve(
                                &self::tenant,
                                parts,
                            )),
                        ],
                    ),
                    ::tollgate::__private::Cost::Function(self::weight),
                )
                .exempt(self::internal)
                .refund_if(::tollgate::__private::RefundIf::Failure)
                .headers(::tollgate::__private::HeaderStyle::Both)
                .on_missing_key(::tollgate::__private::OnMissingKey::Shared)
                .refusal(|refusal| ::tollgate::__private::answered(
                    self::slow_down(refusal),
                ))
                .quota(
                    0usize,
                    |parts| ::tollgate::__private::look_up(&self::plan, parts),
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

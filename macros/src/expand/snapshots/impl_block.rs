#[doc(hidden)]
struct __rate_limit_Api_list;
impl ::tollgate::__private::Annotated for __rate_limit_Api_list {
    fn limits() -> &'static [::tollgate::__private::HttpLimit] {
        static __TOLLGATE_LIMITS: [::tollgate::__private::HttpLimit; 1usize] = [
            ::tollgate::__private::HttpLimit::new(
                ::tollgate::__private::Limit::new(
                    ::core::concat!(::core::module_path!(), "::Api::list"),
                    "list",
                    ::tollgate::__private::Naming::Path,
                    &[::tollgate::__private::literal_quota(10, 1000000u64)],
                    ::tollgate::__private::Site::of::<
                        __rate_limit_Api_list,
                    >("list", ::core::file!(), ::core::line!(), "", false),
                ),
                ::tollgate::__private::Key::from_part(
                    ::tollgate::__private::KeyPart::Ip,
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
        &__TOLLGATE_LIMITS
    }
}
impl<T> Api<T> {
    const VERSION: u32 = 1;
    #[cfg(doc)]
    async fn list(State(api): State<Self>) -> String {
        api.list().await
    }
    #[cfg(not(doc))]
    async fn list(
        ::tollgate::__private::ArgumentsGivenByRouter(
            __guard,
            (State(api),),
            _,
        ): ::tollgate::__private::ArgumentsGivenByRouter<
            __rate_limit_Api_list,
            (State<Self>,),
        >,
    ) -> ::tollgate::__private::Response {
        let __output = ::tollgate::__private::require_send(async move {
                if false {
                    return ::tollgate::__private::any::<String>();
                }
                { api.list().await }
            })
            .await;
        let __response = ::tollgate::__private::IntoLimitedResponse::into_limited(
            __output,
        );
        __guard.finish(__response).await
    }
    fn unlimited(&self) {}
}

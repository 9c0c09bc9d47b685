async fn send(&mut self, to: &str) -> Result<&Receipt, SendError> {
    let _ = {
        let limits = {
            struct __TollgateHere;
            static __TOLLGATE_LIMITS: [::tollgate::__private::CallLimit; 1usize] = [
                ::tollgate::__private::CallLimit::new(
                        ::tollgate::__private::Limit::new(
                            ::core::concat!(::core::module_path!(), "::send"),
                            "send",
                            ::tollgate::__private::Naming::Path,
                            &[::tollgate::__private::literal_quota(10, 1000000u64)],
                            ::tollgate::__private::Site::of::<
                                __TollgateHere,
                            >("send", ::core::file!(), ::core::line!(), "", false),
                        ),
                        1,
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
            &__TOLLGATE_LIMITS
        };
        let calls = ::std::vec![
            ::tollgate::__private::Call::new(& [& (self.id), & (to)])
        ];
        match ::tollgate::__private::admit(limits, calls).await {
            ::core::result::Result::Ok(permit) => permit,
            ::core::result::Result::Err(refused) => {
                return ::tollgate::__private::refuse(refused.limited);
            }
        }
    };
    { self.deliver(to).await }
}

async fn send(&mut self, to: &str) -> Result<&Receipt, SendError> {
    let permit = {
        let limits = {
            struct __TollgateHere;
            #[allow(unused_qualifications)]
            static __TOLLGATE_LIMITS: [::tollgate::__private::CallLimit; 2usize] = [
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
                    .settles(),
                ::tollgate::__private::CallLimit::new(
                        ::tollgate::__private::Limit::new(
                            ::core::concat!(
                                ::core::module_path!(), "::send+args(self.id)"
                            ),
                            "send+args(self.id)",
                            ::tollgate::__private::Naming::Path,
                            &[::tollgate::__private::literal_quota(3, 3600000000u64)],
                            ::tollgate::__private::Site::of::<
                                __TollgateHere,
                            >("send", ::core::file!(), ::core::line!(), "", false),
                        ),
                        1,
                    )
                    .refunds(false),
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
        };
        #[allow(unused_qualifications)]
        let calls = ::std::vec![
            ::tollgate::__private::Call::new(& []), ::tollgate::__private::Call::new(& [&
            (self.id)])
        ];
        match ::tollgate::__private::admit(limits, calls).await {
            ::core::result::Result::Ok(permit) => permit,
            #[allow(unused_qualifications)]
            ::core::result::Result::Err(refused) => {
                return ::tollgate::__private::refuse(refused.limited);
            }
        }
    };
    let result = async move {
        if false {
            return ::tollgate::__private::any::<Result<&Receipt, SendError>>();
        }
        { self.deliver(to).await }
    }
        .await;
    #[allow(unused_qualifications)]
    permit
        .finish(
            &[
                ::tollgate::__private::AfterCall::settle(
                    ::tollgate::__private::came_to(&result, self::parts),
                ),
                ::tollgate::__private::AfterCall::forgive_if(
                    ::core::result::Result::is_ok(&result),
                ),
            ],
        )
        .await;
    result
}

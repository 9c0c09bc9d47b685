async fn call(&self, user: u32, tenant: u32) -> Result<Reply, Status> {
    let _ = {
        let limits = {
            struct __TollgateHere;
            #[allow(unused_qualifications)]
            static __TOLLGATE_LIMITS: [::tollgate::__private::CallLimit; 3usize] = [
                ::tollgate::__private::CallLimit::new(
                    ::tollgate::__private::Limit::new(
                        ::core::concat!(::core::module_path!(), "::call"),
                        "call",
                        ::tollgate::__private::Naming::Path,
                        &[::tollgate::__private::literal_quota(1, 60000000u64)],
                        ::tollgate::__private::Site::of::<
                            __TollgateHere,
                        >("call", ::core::file!(), ::core::line!(), "", false),
                    ),
                    1,
                ),
                ::tollgate::__private::CallLimit::new(
                    ::tollgate::__private::Limit::new(
                        ::core::concat!(::core::module_path!(), "::call+args()"),
                        "call+args()",
                        ::tollgate::__private::Naming::Path,
                        &[::tollgate::__private::literal_quota(100, 3600000000u64)],
                        ::tollgate::__private::Site::of::<
                            __TollgateHere,
                        >("call", ::core::file!(), ::core::line!(), "", false),
                    ),
                    1,
                ),
                ::tollgate::__private::CallLimit::new(
                    ::tollgate::__private::Limit::new(
                        ::core::concat!(::core::module_path!(), "::call+args(tenant)"),
                        "call+args(tenant)",
                        ::tollgate::__private::Naming::Path,
                        &[::tollgate::__private::literal_quota(10, 3600000000u64)],
                        ::tollgate::__private::Site::of::<
                            __TollgateHere,
                        >("call", ::core::file!(), ::core::line!(), "", false),
                    ),
                    1,
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
            #[::tollgate::__private::linkme::distributed_slice(
                ::tollgate::__private::POLICIES
            )]
            #[linkme(crate = ::tollgate::__private::linkme)]
            static __TOLLGATE_REGISTERED_2: &::tollgate::__private::RegisteredPolicy = __TOLLGATE_LIMITS[2usize]
                .limit()
                .registered();
            &__TOLLGATE_LIMITS
        };
        #[allow(unused_qualifications)]
        let calls = ::std::vec![
            ::tollgate::__private::Call::new(& [& (user)]),
            ::tollgate::__private::Call::new(& []), ::tollgate::__private::Call::new(& [&
            (tenant)])
        ];
        match ::tollgate::__private::admit(limits, calls).await {
            ::core::result::Result::Ok(permit) => permit,
            #[allow(unused_qualifications)]
            ::core::result::Result::Err(refused) => {
                match refused.index {
                    0usize => {
                        return ::tollgate::__private::refuse_with(
                            refused.limited,
                            self::busy,
                        );
                    }
                    1usize => return ::tollgate::__private::refuse(refused.limited),
                    _ => {
                        return ::tollgate::__private::refuse_with(
                            refused.limited,
                            Self::busy,
                        );
                    }
                }
            }
        }
    };
    { self.answer() }
}

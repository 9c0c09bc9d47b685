fn read(path: &Path) -> io::Result<Vec<u8>> {
    let permit = {
        let limits = {
            struct __TollgateHere;
            #[allow(unused_qualifications)]
            static __TOLLGATE_LIMITS: [::tollgate::__private::CallLimit; 1usize] = [
                ::tollgate::__private::CallLimit::new(
                        ::tollgate::__private::Limit::new(
                            ::core::concat!(::core::module_path!(), "::read"),
                            "read",
                            ::tollgate::__private::Naming::Path,
                            &[::tollgate::__private::literal_quota(10, 1000000u64)],
                            ::tollgate::__private::Site::of::<
                                __TollgateHere,
                            >("read", ::core::file!(), ::core::line!(), "", false),
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
            &__TOLLGATE_LIMITS
        };
        #[allow(unused_qualifications)]
        let calls = ::std::vec![::tollgate::__private::Call::new(& [])];
        match ::tollgate::__private::admit_now(limits, calls) {
            ::core::result::Result::Ok(permit) => permit,
            #[allow(unused_qualifications)]
            ::core::result::Result::Err(refused) => {
                return ::tollgate::__private::refuse_unless_async(refused.limited);
            }
        }
    };
    let result = ::tollgate::__private::call_once(move || -> io::Result<Vec<u8>> {
        fs::read(path)
    });
    #[allow(unused_qualifications)]
    permit
        .finish_now(
            &[
                ::tollgate::__private::AfterCall::refund_if(
                    ::tollgate::__private::holds(&result, self::is_empty),
                ),
            ],
        );
    result
}

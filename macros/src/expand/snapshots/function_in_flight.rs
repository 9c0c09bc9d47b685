async fn send(&mut self, to: &str) -> Result<&Receipt, SendError> {
    let _permit = {
        let limits = {
            struct __TollgateHere;
            static __TOLLGATE_LIMITS: [::tollgate::__private::CallLimit; 1usize] = [
                ::tollgate::__private::CallLimit::new(
                    {
                        const __TOLLGATE_IN_FLIGHT: ::core::primitive::u32 = 2;
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::in_flight_error(
                            __TOLLGATE_IN_FLIGHT,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        const __TOLLGATE_HOLD: ::core::time::Duration = ::core::time::Duration::from_micros(
                            600000000u64,
                        );
                        const _: () = if let ::core::option::Option::Some(mistake) = ::tollgate::__private::hold_error(
                            __TOLLGATE_HOLD,
                        ) {
                            ::core::panic!("{}", mistake)
                        };
                        ::tollgate::__private::Limit::new(
                                ::core::concat!(::core::module_path!(), "::send"),
                                "send",
                                ::tollgate::__private::Naming::Path,
                                &[],
                                ::tollgate::__private::Site::of::<
                                    __TollgateHere,
                                >("send", ::core::file!(), ::core::line!(), "", false),
                            )
                            .in_flight(
                                __TOLLGATE_IN_FLIGHT,
                                ::core::option::Option::Some(__TOLLGATE_HOLD),
                            )
                    },
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
            &__TOLLGATE_LIMITS
        };
        let calls = ::std::vec![::tollgate::__private::Call::new(& [& (self.id)])];
        match ::tollgate::__private::admit(limits, calls).await {
            ::core::result::Result::Ok(permit) => permit,
            ::core::result::Result::Err(refused) => {
                return ::tollgate::__private::refuse(refused.limited);
            }
        }
    };
    { self.deliver(to).await }
}

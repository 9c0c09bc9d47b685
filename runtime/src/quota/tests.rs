//! Tests of the numbers that a quota may have.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn accepts_the_whole_range_and_nothing_beyond() {
    let micros = Duration::from_micros;
    let cases = [
        (1, micros(1_000), Ok(())),
        (1_000, micros(1_000), Ok(())),
        (1, 366 * DAY, Ok(())),
        (u32::MAX, micros(4_294_967_295), Ok(())),
        (0, DAY, Err(QuotaError::ZeroLimit)),
        (1, Duration::ZERO, Err(QuotaError::ZeroPeriod)),
        (1, Duration::from_nanos(1_000_001), Err(QuotaError::FractionalMicros)),
        (1, micros(999), Err(QuotaError::PeriodTooShort)),
        (1, 366 * DAY + micros(1), Err(QuotaError::PeriodTooLong)),
        (1, Duration::MAX - Duration::from_nanos(999_999_999), Err(QuotaError::PeriodTooLong)),
        (1_001, micros(1_000), Err(QuotaError::RateTooHigh)),
        (u32::MAX, micros(4_294_967_294), Err(QuotaError::RateTooHigh)),
    ];
    for (limit, period, expected) in cases {
        assert_eq!(Quota::try_new(limit, period).map(|_| ()), expected, "{limit} per {period:?}");
    }
}

#[test]
fn common_periods() {
    const QUOTAS: [Quota; 4] = [
        Quota::per_second(1_000_000),
        Quota::per_minute(60_000_000),
        Quota::per_hour(3_600_000_000),
        Quota::per_day(u32::MAX),
    ];
    let periods = QUOTAS.map(|quota| quota.period().as_secs());
    assert_eq!(periods, [1, 60, 3_600, 86_400]);
    let limits = QUOTAS.map(|quota| quota.limit());
    assert_eq!(limits, [1_000_000, 60_000_000, 3_600_000_000, u32::MAX]);
    assert_eq!(Quota::per_minute(7).burst(9), Quota::new(7, DAY / 1_440).burst(9));
    let wrong: [fn() -> Quota; 4] = [
        || Quota::per_second(1_000_001),
        || Quota::per_minute(0),
        || Quota::per_hour(3_600_000_001),
        || Quota::per_day(0),
    ];
    for quota in wrong {
        assert!(std::panic::catch_unwind(quota).is_err());
    }
}

#[test]
fn a_calendar_takes_no_memory() {
    assert_eq!(size_of::<Quota>(), 56);
}

#[test]
fn keeps_its_numbers() {
    const QUOTA: Quota = Quota::new(7, Duration::from_millis(250));
    assert_eq!((QUOTA.limit(), QUOTA.period()), (7, Duration::from_millis(250)));
}

//! The values that `cost = args(…)` accepts.

/// A number of units that a call takes. A number that `u32` cannot hold, or that is negative, is
/// `u32::MAX`: the call costs too much, and not too little.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number of units",
    label = "a cost is a whole number",
    note = "write an expression of an integer type, such as `cost = args(items.len())`"
)]
pub trait IntoUnits {
    /// Returns the number of units.
    fn into_units(self) -> u32;
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl IntoUnits for $number {
            fn into_units(self) -> u32 {
                u32::try_from(self).unwrap_or(u32::MAX)
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl<T: IntoUnits + Copy> IntoUnits for &T {
    fn into_units(self) -> u32 {
        (*self).into_units()
    }
}

/// Returns the number of units of an expression in `cost = args(…)`.
pub fn units(cost: impl IntoUnits) -> u32 {
    cost.into_units()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_too_much() {
        assert_eq!([units(0_u8), units(7_usize), units(7_i64)], [0, 7, 7]);
        assert_eq!(units(u32::MAX), u32::MAX);
        assert_eq!(units(u64::from(u32::MAX) + 1), u32::MAX);
        assert_eq!([units(-1), units(i128::MIN), units(u128::MAX)], [u32::MAX; 3]);
    }
}

//! What the compiler says about each mistake, and that what is right compiles.
//!
//! `TRYBUILD=overwrite cargo test -p ui-tests` writes the `.stderr` files anew; read the
//! difference before you commit it.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*.rs");
    cases.compile_fail("fail/*.rs");
}

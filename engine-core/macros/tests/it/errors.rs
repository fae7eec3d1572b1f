//! Errors of the macros: each is on the token that is wrong and says what is expected.

#[test]
fn errors_are_on_the_users_tokens() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/errors/*.rs");
}

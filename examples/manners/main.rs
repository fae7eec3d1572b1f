//! Miss Manners, the seating problem that rule engines have been compared with since the 1980s.
//!
//! ```console
//! $ cargo run --release --example manners -- 128
//! ```
//!
//! Guests sit down so that neighbors differ in sex and share a hobby. However the guests turn out, the
//! search needs the same number of firings, which is asserted.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
#![expect(unreachable_pub, reason = "data and rules are shared with the bench `engine`")]

mod data;
mod rules;

use steadfast::prelude::*;

fn main() -> steadfast::Result<()> {
    let size = std::env::args().nth(1).and_then(|size| size.parse().ok()).unwrap_or(16);
    let guests = data::guests(size);
    let mut session = Session::memory(rules::manners())?;
    let fired = rules::seat(&mut session, &guests)?;
    let seated: Vec<rules::Seated> =
        session.query::<rules::Seated>()?.iter().map(|seated| (**seated).clone()).collect();
    println!("{size} guests seated with {fired} firings");
    assert!(rules::is_valid(&guests, &seated), "neighbors differ in sex and share a hobby");
    let n = u64::from(size);
    assert_eq!(fired, n * (n - 1) / 2 + 4 * n - 1, "the search has no dead end");
    Ok(())
}

//! Waltz, the line labelling problem that rule engines have been compared with since the 1980s.
//!
//! ```console
//! $ cargo run --release --example waltz -- 50
//! ```
//!
//! A drawing of staircases is labelled: which lines stand out, which go in, which are a border. The
//! result is asserted where it is known.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
#![expect(unreachable_pub, reason = "data and rules are shared with the bench `engine`")]

mod data;
mod facts;
mod rules;

use steadfast::prelude::*;

/// Regions, and the checksum of their labelling.
const KNOWN: &[(i64, &str)] = &[
    (12, "5490:561230321664:+936/-288/B720"),
    (25, "11431:2472740876800:+1950/-600/B1500"),
    (37, "16915:5440453118464:+2886/-888/B2220"),
    (50, "22856:9958985753600:+3900/-1200/B3000"),
];

fn main() -> steadfast::Result<()> {
    let regions = std::env::args().nth(1).and_then(|size| size.parse().ok()).unwrap_or(12);
    let mut session = Session::memory(rules::waltz())?;
    let fired = rules::label(&mut session, &data::lines(regions))?;
    let checksum = rules::checksum(&mut session, fired)?;
    println!("{regions} regions labelled with {fired} firings: {checksum}");
    if let Some((_, known)) = KNOWN.iter().find(|(size, _)| *size == regions) {
        assert_eq!(checksum, *known);
    }
    Ok(())
}

//! `cargo +nightly fuzz run segment` in `journal/`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_journal::testing::{FuzzTarget, fuzz};

fuzz_target!(|bytes: &[u8]| fuzz(FuzzTarget::Segment, bytes));

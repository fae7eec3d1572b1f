//! The corpus of `fuzz/`, replayed and changed at random: a bounded part of what a fuzzer does.

#[path = "../../fuzz/fuzz_targets/check.rs"]
mod check;

use std::fs;
use std::path::Path;

/// A sequence of numbers that looks random and is the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// Changes some bytes, cuts, doubles or inserts.
fn change(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)]),
            2 => bytes.extend_from_within(at..),
            _ if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            _ => bytes.push(0x80),
        }
    }
    bytes.truncate(4096);
}

/// INV-63.
#[test]
fn the_corpus_and_its_neighbours_are_records_or_errors() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/record");
    let entries = fs::read_dir(&dir).expect("the corpus is part of the repository");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    assert!(files.len() > 20, "{} files", files.len());
    let mut numbers = Numbers(1);
    for file in files {
        let bytes = fs::read(&file).expect("readable");
        check::check(&bytes);
        for _ in 0..500 {
            let mut changed = bytes.clone();
            change(&mut changed, &mut numbers);
            check::check(&changed);
        }
    }
}

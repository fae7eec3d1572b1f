//! The corpus of `journal/fuzz`, replayed and changed at random: a bounded part of what a fuzzer does.

use std::fs;
use std::path::Path;

use steadfast_journal::testing::{Chooser, FuzzTarget, Seeded, fuzz};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("readable")).collect()
}

/// Changes some bytes, cuts, doubles or inserts.
fn change(bytes: &mut Vec<u8>, random: &mut Seeded) {
    for _ in 0..=random.below(4) {
        let at = random.choose(bytes.len() + 1);
        let byte = u8::try_from(random.below(256)).expect("a byte");
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => bytes.extend_from_within(at..),
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.choose(5)],
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.push(byte),
        }
    }
    bytes.truncate(64 << 10);
}

#[test]
fn the_corpus_and_its_neighbours_harm_nobody() {
    let soak = std::env::var_os("STEADFAST_SOAK").is_some();
    for (name, target) in FuzzTarget::ALL {
        let corpus = corpus(name);
        assert!(corpus.len() >= 2, "{name} has a corpus");
        let few = if target == FuzzTarget::Journal { 15 } else { 300 };
        let mut random = Seeded::new(few);
        for bytes in &corpus {
            fuzz(target, bytes);
            for _ in 0..if soak { few * 100 } else { few } {
                let mut changed = bytes.clone();
                change(&mut changed, &mut random);
                fuzz(target, &changed);
            }
        }
    }
}

//! All small histories, and many longer ones, each ended in every way.
//!
//! A history is a string of steps: `a` appends a safe point, `b` records of an open root, `B` a
//! group over several segments; `p`, `s` and `n` wait for the levels `Process`, `Batch` and
//! `Paranoid`; `w` is idleness, `r` a roll, `t` a truncation; `k` kills the process, `c` cuts the
//! power, `x` closes; after these three the journal is opened again.

use steadfast_journal::WriteMode;
use steadfast_journal::testing::{Chooser, Planted, Seeded, SimDisk};

use crate::crash::{check_end, crash_everywhere};
use crate::world::{Setup, Violation, World};

const MODES: [WriteMode; 2] = [WriteMode::Map, WriteMode::Pwrite];

/// How much more is tried with `STEADFAST_SOAK=1`.
fn soak() -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { 20 } else { 1 }
}

/// Runs one history and ends it in every way.
fn check_history(setup: Setup, steps: &str, seed: u64) -> Result<(), Violation> {
    let mut world = World::new(SimDisk::new(seed), setup);
    let mut chooser = Seeded::new(seed);
    let run = world.start(0).and_then(|()| {
        world.run(steps, &mut chooser)?;
        check_end(&world, seed)
    });
    run.map_err(|violation| format!("{:?} {steps} (seed {seed}): {violation}", setup.mode))
}

/// All histories over an alphabet up to a length; stops at the first violation.
fn enumerate(setup: Setup, alphabet: &str, length: usize) -> Result<u64, Violation> {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut count = 0;
    let mut digits = vec![0_usize; length];
    loop {
        let steps: String = digits.iter().map(|digit| alphabet[*digit]).collect();
        count += 1;
        check_history(setup, &steps, count)?;
        // Counts up; shorter histories are prefixes of these, and every prefix is ended by `k` or
        // `c` somewhere among them.
        let Some(place) = digits.iter().rposition(|digit| digit + 1 < alphabet.len()) else {
            return Ok(count);
        };
        digits[place] += 1;
        digits[place + 1..].fill(0);
    }
}

fn check_all(alphabet: &str, length: usize) {
    for mode in MODES {
        enumerate(Setup::new(mode), alphabet, length).unwrap_or_else(|found| panic!("{found}"));
    }
}

#[test]
fn append_sync_kill_and_power_cut_in_every_order() {
    check_all("askc", 5);
}

#[test]
fn rolls_in_every_order() {
    check_all("asrc", 5);
}

#[test]
fn cuts_in_every_order() {
    check_all("asbtc", 4);
}

#[test]
fn open_roots_and_rolls_in_every_order() {
    check_all("abrkc", 4);
}

#[test]
fn levels_and_idleness_in_every_order() {
    check_all("apnwc", 4);
}

#[test]
fn normalization_in_every_order() {
    check_all("arztc", 4);
}

#[test]
fn every_step_in_every_order_of_three() {
    check_all("abBpsnwrtzkcx", 3);
}

#[test]
fn long_random_histories() {
    let alphabet: Vec<char> = "aaabbBppssnwrrtzzkcx".chars().collect();
    for seed in 0..300 * soak() {
        let mut draw = Seeded::new(seed);
        let length = 6 + draw.choose(20);
        let steps: String = (0..length).map(|_| alphabet[draw.choose(alphabet.len())]).collect();
        let mode = MODES[draw.choose(2)];
        check_history(Setup::new(mode), &steps, seed).unwrap_or_else(|found| panic!("{found}"));
    }
}

/// The enumeration must find a planted bug; returns what it says.
fn found(bug: Planted, alphabet: &str, length: usize) -> Violation {
    let mut setup = Setup::new(WriteMode::Map);
    setup.planted = Some(bug);
    let result = enumerate(setup, alphabet, length);
    result.expect_err("the enumeration finds the planted bug")
}

#[test]
fn a_skipped_sync_is_found() {
    assert!(found(Planted::SkipSync, "as", 2).contains("lost what was acknowledged"));
}

#[test]
fn an_early_acknowledgement_is_found() {
    assert!(found(Planted::AcknowledgeEarly, "as", 2).contains("lost what was acknowledged"));
}

#[test]
fn a_skipped_directory_sync_is_found() {
    assert!(!found(Planted::SkipDirSync, "asr", 3).is_empty());
}

#[test]
fn trust_in_the_page_cache_of_a_killed_process_is_found() {
    assert!(!found(Planted::TrustOpenRead, "askc", 4).is_empty());
}

#[test]
fn a_roll_without_sync_is_found() {
    assert!(found(Planted::RollWithoutSync, "asr", 3).contains("refuses a good journal"));
}

#[test]
fn a_slot_before_its_sync_is_found() {
    // Between the two there is only one I/O call, so it takes a crash at every call.
    let mut setup = Setup::new(WriteMode::Map);
    setup.planted = Some(Planted::SlotBeforeSync);
    let violation = crash_everywhere(setup, "ann").expect_err("a crash finds the planted bug");
    assert!(violation.contains("refuses a good journal"), "{violation}");
}

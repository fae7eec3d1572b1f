//! Guests: half of either sex, with two or three of three hobbies, so that any two have one in common.

use crate::rules::{Guest, Sex};

/// One row for each guest and hobby; always the same for a number of guests.
pub fn guests(count: u32) -> Vec<Guest> {
    let mut random = Random(u64::from(count));
    let mut sexes: Vec<Sex> =
        (0..count).map(|at| [Sex::Male, Sex::Female][at as usize % 2]).collect();
    for at in (1..sexes.len()).rev() {
        sexes.swap(at, random.below(at + 1));
    }
    let mut guests = Vec::new();
    for (name, sex) in (1..).zip(sexes) {
        // None of the three, or one, is left out.
        let without = random.below(6);
        let hobbies = (1..=3).filter(|&hobby| hobby as usize != without);
        guests.extend(hobbies.map(|hobby| Guest { name, sex, hobby }));
    }
    guests
}

/// A generator that gives the same numbers everywhere (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = limit as u64;
        usize::try_from((z ^ (z >> 31)) % limit).expect("below a usize")
    }
}

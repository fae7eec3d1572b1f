//! Conditions on one fact: one rule that takes a tenth of the facts, one that takes all, a hundred of which
//! each takes its own.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{A, P, checksum, fire, key, load, session, tally};

#[rule]
fn tenth(#[when(a.v < 100)] a: &A) {
    tally(i64::from(a.id));
}

#[rule]
fn every(#[when(a.v < 1000)] a: &A) {
    tally(i64::from(a.id));
}

ruleset!(of_tenth = 1: tenth);
ruleset!(of_every = 1: every);

/// A rule for each value.
macro_rules! rules_by_value {
    ($($rule:ident $value:tt)*) => {
        $(
            #[rule]
            fn $rule(#[when(a.v == $value)] a: &A) {
                tally(i64::from(a.id) + $value);
            }
        )*
        ruleset!(by_value = 1: $($rule),*);
    };
}

rules_by_value! {
    r0 0 r1 1 r2 2 r3 3 r4 4 r5 5 r6 6 r7 7 r8 8 r9 9 r10 10 r11 11 r12 12 r13 13 r14 14 r15 15
    r16 16 r17 17 r18 18 r19 19 r20 20 r21 21 r22 22 r23 23 r24 24 r25 25 r26 26 r27 27 r28 28
    r29 29 r30 30 r31 31 r32 32 r33 33 r34 34 r35 35 r36 36 r37 37 r38 38 r39 39 r40 40 r41 41
    r42 42 r43 43 r44 44 r45 45 r46 46 r47 47 r48 48 r49 49 r50 50 r51 51 r52 52 r53 53 r54 54
    r55 55 r56 56 r57 57 r58 58 r59 59 r60 60 r61 61 r62 62 r63 63 r64 64 r65 65 r66 66 r67 67
    r68 68 r69 69 r70 70 r71 71 r72 72 r73 73 r74 74 r75 75 r76 76 r77 77 r78 78 r79 79 r80 80
    r81 81 r82 82 r83 83 r84 84 r85 85 r86 86 r87 87 r88 88 r89 89 r90 90 r91 91 r92 92 r93 93
    r94 94 r95 95 r96 96 r97 97 r98 98 r99 99
}

fn run(ruleset: steadfast::Ruleset, n: i32) -> (Duration, String) {
    let mut session = session(ruleset);
    let ((), time) = timed(|| {
        load(&mut session, (0..n).map(|id| A { id, k: 0, v: key(id, P, 0, 1000) }));
        fire(&mut session);
    });
    (time, checksum())
}

pub(crate) fn alpha10(n: i32) -> (Duration, String) {
    run(of_tenth(), n)
}

pub(crate) fn alpha100(n: i32) -> (Duration, String) {
    run(of_every(), n)
}

pub(crate) fn alphahash(n: i32) -> (Duration, String) {
    run(by_value(), n)
}

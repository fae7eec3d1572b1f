//! S64 to S78 again: the functions that accumulates have.

use std::cell::Cell;

use steadfast::aggregate::{Integers, Rescan, Summable};
use steadfast::prelude::*;
use steadfast::{Aggregate, AggregateError};

use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Reading {
    sensor: u64,
    day: u64,
    value: f64,
    label: String,
}

fn reading(sensor: u64, value: f64) -> Reading {
    Reading { sensor, day: 1, value, label: format!("{value}") }
}

/// Inserts readings of sensor 1.
fn readings<const N: usize>(session: &mut Session, values: [f64; N]) -> [Handle<Reading>; N] {
    values.map(|value| session.insert(reading(1, value)).unwrap())
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sensor {
    id: u64,
    floor: u64,
}

#[test]
fn s64_what_is_shown_of_no_facts_and_what_only_if_it_may_be_none() {
    #[rule]
    fn always(
        #[aggregate(
            sum(r.value), count_distinct(r.day), collect_set(r.day), top_k(r.value, 2),
            bottom_k(r.day, 2)
        )]
        g: Group<Reading, (), (f64, u64, Vec<u64>, Vec<f64>, Vec<u64>)>,
    ) {
        say(format!("always {:?}", *g));
    }
    #[rule]
    fn perhaps(
        #[aggregate(
            median(r.value), percentile(r.value, 90), variance(r.value), sample_stddev(r.value),
            first(r.day), last(r.value)
        )]
        g: Group<
            Reading,
            (),
            (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<u64>, Option<f64>),
        >,
    ) {
        say(format!("perhaps {:?}", *g));
    }
    #[rule]
    fn never(#[aggregate(median(r.day), first(r.day))] g: Group<Reading, (), (u64, u64)>) {
        say(format!("never {:?}", *g));
    }
    ruleset!(nothing = 1: always, perhaps, never);
    let mut session = memory(nothing());
    let of_none = ["always (0.0, 0, [], [], [])", "perhaps (None, None, None, None, None, None)"];
    assert_eq!(fire(&mut session), of_none);
    let [one] = readings(&mut session, [0.5]);
    let of_one = [
        "always (0.5, 1, [1], [0.5], [1])",
        "perhaps (Some(0.5), Some(0.5), Some(0.0), None, Some(1), Some(0.5))",
        "never (1, 1)",
    ];
    assert_eq!(fire(&mut session), of_one);
    session.delete(one).unwrap();
    assert_eq!(fire(&mut session), of_none);
}

#[test]
fn s65_floats_that_are_equal_to_the_bit_are_no_news() {
    #[rule]
    fn shown(
        #[aggregate(sum(r.value), max(r.value), collect(r.value))] g: Group<
            Reading,
            (),
            (f64, Option<f64>, Vec<f64>),
        >,
    ) {
        say(format!("{:?}", *g));
    }
    ruleset!(floats = 1: shown);
    let disk = Disk::new();
    let mut session = disk.open(floats());
    let [one, two] = readings(&mut session, [f64::NAN, -0.0]);
    assert_eq!(fire(&mut session), ["(NaN, Some(NaN), [NaN, -0.0])"]);
    // NaN is NaN.
    session.update(one, |r| r.value = -f64::NAN).unwrap();
    session.update(one, |r| r.value = f64::NAN).unwrap();
    assert!(fire(&mut session).is_empty());
    session.update(one, |r| r.value = 0.5).unwrap();
    assert_eq!(fire(&mut session), ["(0.5, Some(0.5), [0.5, -0.0])"]);
    // The zeros are equal; what is kept is the one that is there.
    session.delete(two).unwrap();
    readings(&mut session, [0.0]);
    assert!(fire(&mut session).is_empty());
    assert_eq!(disk.crash().open(floats()).digest(), session.digest());
}

thread_local!(static LOOKS: Cell<u64> = const { Cell::new(0) });

fn looked_at<T>(value: T) -> T {
    LOOKS.set(LOOKS.get() + 1);
    value
}

#[test]
fn s69_ranks_and_sets_look_at_no_other_member() {
    #[rule]
    fn ranks(
        #[aggregate(
            median(looked_at(r.value)), percentile(looked_at(r.value), 25),
            count_distinct(looked_at(r.day)), top_k(looked_at(r.value), 2), first(looked_at(r.day)),
            variance(looked_at(r.value))
        )]
        g: Group<Reading, (), (f64, f64, u64, Vec<f64>, u64, f64)>,
    ) {
        say(format!("{} {} {} {:?} {}", g.0, g.1, g.2, g.3, g.4));
    }
    ruleset!(ranking = 1: ranks);
    let mut session = memory(ranking());
    let values: [f64; 101] = std::array::from_fn(|at| f64::from(u8::try_from(at).unwrap()));
    let all = readings(&mut session, values);
    assert_eq!(fire(&mut session), ["50 25 1 [100.0, 99.0] 1"]);
    LOOKS.set(0);
    for (at, one) in all.iter().rev().take(50).enumerate() {
        session.delete(*one).unwrap();
        assert_eq!(said().len(), 0);
        let top = 99 - at;
        let said = fire(&mut session).pop().unwrap();
        assert!(said.ends_with(&format!("1 [{top}.0, {}.0] 1", top - 1)), "{said}");
    }
    assert_eq!(LOOKS.get(), 0, "a deletion looks at nothing, not even at what is deleted");
    session.update(all[0], |r| r.value = 1000.0).unwrap();
    assert_eq!(fire(&mut session), ["26 13 1 [1000.0, 50.0] 1"]);
    assert_eq!(LOOKS.get(), 6, "an update looks at the one member");
}

#[test]
fn s70_first_and_last_are_by_fact() {
    #[rule]
    fn ends(#[aggregate(first(r.label), last(r.label))] g: Group<Reading, (), (String, String)>) {
        say(format!("{} to {}", g.0, g.1));
    }
    ruleset!(ending = 1: ends);
    let mut session = memory(ending());
    let [one, two, three] = readings(&mut session, [3.0, 1.0, 2.0]);
    assert_eq!(fire(&mut session), ["3 to 2"]);
    // An update does not make a fact younger.
    session.update(one, |r| "5".clone_into(&mut r.label)).unwrap();
    assert_eq!(fire(&mut session), ["5 to 2"]);
    session.delete(one).unwrap();
    session.delete(three).unwrap();
    assert_eq!(fire(&mut session), ["1 to 1"]);
    session.delete(two).unwrap();
    assert!(fire(&mut session).is_empty());
}

#[rule]
fn total(#[aggregate(sum(r.value))] g: Group<Reading, (), (f64,)>) {
    say(format!("{}", g.0));
}

ruleset!(totals = 1: total);

#[test]
fn s71_sums_of_floats_are_exact_in_any_order_and_do_not_drift() {
    let mut session = memory(totals());
    readings(&mut session, [1e16, 1.0, -1e16]);
    assert_eq!(fire(&mut session), ["1"]);
    let [moving] = readings(&mut session, [0.0]);
    for at in 1..2_000_u32 {
        session.update(moving, |r| r.value = 0.1 * f64::from(at)).unwrap();
        session.flush().unwrap();
    }
    session.delete(moving).unwrap();
    fire(&mut session);
    let mut backwards = memory(totals());
    readings(&mut backwards, [-1e16, 1.0, 1e16]);
    assert_eq!(fire(&mut backwards), ["1"]);
    let sum_of = |session: &mut Session| {
        readings(session, [1e-300, 0.25]);
        fire(session)
    };
    assert_eq!(sum_of(&mut session), sum_of(&mut backwards));
    // What is beyond all floats comes back.
    let [huge, _] = readings(&mut session, [f64::MAX, f64::MAX]);
    assert_eq!(fire(&mut session), ["inf"]);
    session.delete(huge).unwrap();
    assert_eq!(fire(&mut session), [f64::MAX.to_string()]);
}

#[test]
fn s71_a_sum_of_floats_is_the_same_to_the_bit_after_a_restart() {
    let disk = Disk::new();
    let mut session = disk.open(totals());
    let [one, two, ..] = readings(&mut session, [1e16, 0.1, f64::INFINITY, 0.2, -1e16]);
    assert_eq!(fire(&mut session), ["inf"]);
    session.delete(one).unwrap();
    session.update(two, |r| r.value = 1e-17).unwrap();
    session.flush().unwrap();
    let crashed = disk.crash();
    drop(session);
    let mut restored = crashed.open(totals());
    let uninterrupted = disk.open(totals());
    assert_eq!(restored.digest(), uninterrupted.digest());
    let infinite = restored.query::<Reading>().unwrap()[1].handle();
    restored.delete(infinite).unwrap();
    assert_eq!(fire(&mut restored), ["-10000000000000000"]);
}

/// Hundredths of a currency.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
struct Money(i32);

impl Summable for Money {
    type Total = Integers;
    const UNITS_PER_ONE: u64 = 100;

    fn term(&self) -> i128 {
        self.0.into()
    }
    fn of_total(total: &Integers) -> Option<Self> {
        i32::try_from(total.units()?).ok().map(Self)
    }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sale {
    price: Money,
}

#[test]
fn s71_decimals_are_summed_in_their_units_and_an_overflow_is_an_error() {
    #[rule]
    fn turnover(
        #[aggregate(sum(s.price), average(s.price))] g: Group<Sale, (), (Money, Option<f64>)>,
    ) {
        say(format!("{:?} {:?}", g.0, g.1));
    }
    ruleset!(sales = 1: turnover);
    let mut session = memory(sales());
    for price in [110, 220] {
        session.insert(Sale { price: Money(price) }).unwrap();
    }
    assert_eq!(fire(&mut session), ["Money(330) Some(1.65)"]);
    session.insert(Sale { price: Money(i32::MAX) }).unwrap();
    let error = session.fire_all().unwrap_err();
    assert_eq!(error.code(), "SF0013");
}

#[test]
fn s72_variances_come_from_exact_sums() {
    #[rule]
    fn spread(
        #[aggregate(
            average(r.value), variance(r.value), stddev(r.value), sample_variance(r.value),
            variance(r.day)
        )]
        g: Group<Reading, (), (f64, f64, f64, f64, f64)>,
    ) {
        say(format!("{:?}", *g));
    }
    ruleset!(spreads = 1: spread);
    let mut session = memory(spreads());
    // The textbook's formula in floats gives anything but this.
    readings(&mut session, [4.0, 7.0, 13.0, 16.0].map(|small| 1e9 + small));
    let deviation = 22.5_f64.sqrt();
    let expected = format!("(1000000010.0, 22.5, {deviation:?}, 30.0, 0.0)");
    assert_eq!(fire(&mut session), [expected]);
}

#[test]
fn s73_functions_of_one_group_share_one_pass_and_one_result() {
    #[rule]
    fn both(
        #[group_by(r.sensor)]
        #[aggregate(sum(looked_at(r.value)), count(), max(r.value))]
        g: Group<Reading, u64, (f64, u64, f64)>,
        #[having(g.1 > 1)] _h: Having,
    ) {
        say(format!("{}: {:?}", g.key, *g));
    }
    ruleset!(shared = 1: both);
    let mut session = memory(shared());
    LOOKS.set(0);
    readings(&mut session, [1.0, 2.0]);
    assert_eq!(fire(&mut session), ["1: (3.0, 2, 2.0)"]);
    assert_eq!(LOOKS.get(), 2);
}

#[test]
fn s74_keys_of_several_parts_over_several_patterns() {
    #[rule]
    fn by_floor_and_day(
        #[each(s: Sensor)]
        #[each(r: Reading, r.sensor == s.id)]
        #[group_by(s.floor, r.day)]
        #[aggregate(count(), sum(r.value), median(r.value), collect(r.sensor))]
        g: Group<(Sensor, Reading), (u64, u64), (u64, f64, f64, Vec<u64>)>,
    ) {
        say(format!("{:?}: {:?}", g.key, *g));
    }
    ruleset!(floors = 1: by_floor_and_day);
    let mut session = memory(floors());
    let [low, _] =
        [(1, 0), (2, 7)].map(|(id, floor)| session.insert(Sensor { id, floor }).unwrap());
    for (sensor, day, value) in [(1, 1, 1.0), (2, 1, 2.0), (2, 1, 4.0), (1, 2, 8.0)] {
        session.insert(Reading { day, ..reading(sensor, value) }).unwrap();
    }
    let apart = [
        "(0, 1): (1, 1.0, 1.0, [1])",
        "(7, 1): (2, 6.0, 3.0, [2, 2])",
        "(0, 2): (1, 8.0, 8.0, [1])",
    ];
    assert_eq!(fire(&mut session), apart);
    // One sensor moves two readings into other groups; the two that they were in are gone.
    session.update(low, |s| s.floor = 7).unwrap();
    assert_eq!(
        fire(&mut session),
        ["(7, 1): (3, 7.0, 2.0, [1, 2, 2])", "(7, 2): (1, 8.0, 8.0, [1])"]
    );
}

/// An accumulator of our own.
#[derive(Clone, Default)]
struct Parity;

impl Aggregate for Parity {
    type Input = (u64, u64);
    type State = u64;
    type Output = bool;

    fn enter(&self, state: &mut u64, _facts: &[u64], (a, b): &(u64, u64)) {
        *state ^= a ^ b;
    }
    fn leave(&self, state: &mut u64, _facts: &[u64], (a, b): &(u64, u64)) {
        *state ^= a ^ b;
    }
    fn output(&self, state: &u64) -> Result<Option<bool>, AggregateError> {
        Ok(Some(state & 1 == 1))
    }
}

/// How often a value is greater than the one before it.
#[derive(Clone, Default)]
struct Rises;

impl Rescan for Rises {
    type Input = f64;
    type Output = u64;

    fn scan<'a>(
        &self,
        members: impl Iterator<Item = &'a f64>,
    ) -> Result<Option<u64>, AggregateError> {
        let all: Vec<&f64> = members.collect();
        if all.iter().any(|value| value.is_nan()) {
            let reason = "a reading is no number".to_owned();
            return Err(AggregateError::NoResult { function: "rises", reason });
        }
        Ok(Some(all.windows(2).filter(|pair| pair[0] < pair[1]).count() as u64))
    }
}

#[rule]
fn of_our_own(
    #[group_by(r.sensor)]
    #[aggregate(Parity(r.sensor, r.day), rescan(Rises, r.value), count())]
    g: Group<Reading, u64, (bool, u64, u64)>,
) {
    say(format!("{}: {:?}", g.key, *g));
}

#[test]
fn s78_functions_of_the_users_stand_beside_the_others_and_may_scan() {
    ruleset!(our_own = 1: of_our_own);
    let mut session = memory(our_own());
    let [one, two, _] = readings(&mut session, [1.0, 3.0, 2.0]);
    assert_eq!(fire(&mut session), ["1: (false, 1, 3)"]);
    session.update(two, |r| r.value = 1.5).unwrap();
    assert_eq!(fire(&mut session), ["1: (false, 2, 3)"]);
    session.update(one, |r| r.day = 2).unwrap();
    assert_eq!(fire(&mut session), ["1: (true, 2, 3)"]);
    session.delete(one).unwrap();
    assert_eq!(fire(&mut session), ["1: (false, 1, 2)"]);
    session.update(two, |r| r.value = f64::NAN).unwrap();
    let error = session.fire_all().unwrap_err();
    assert_eq!(error.code(), "SF0013");
    assert!(error.to_string().contains("of_our_own"), "{error}");
}

#[test]
fn s78_what_scans_says_so_in_the_rule() {
    use steadfast::ir::{Part, Rule};
    let rule = of_our_own::definition();
    let Part::Group(group) = &rule.parts[0] else { panic!("a group") };
    assert!(group.spec.rescans());
    assert_eq!(group.function_text, "Parity(r.sensor, r.day), rescan(Rises, r.value), count()");
    let Part::Group(group) = &total::definition().parts[0] else { panic!("a group") };
    assert!(!group.spec.rescans());
}

//! Windows over the last facts and over the last stretch of time, over restarts (scenarios 52 and 54).

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Reading {
    sensor: u32,
    value: i64,
}

fn reading(value: i64) -> Reading {
    Reading { sensor: 1, value }
}

#[rule]
fn average(
    #[window(length = 3)]
    #[when(r.value >= 0)]
    #[aggregate(count(), sum(r.value))]
    g: Group<Reading, (), (u64, i64)>,
) {
    say(format!("{} of the last {}", g.1, g.0));
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    value: i64,
}

/// An alarm stands for as long as its reading is one of the last two.
#[rule(logical)]
fn alarm(#[window(length = 2)] r: &Reading) -> Alarm {
    Alarm { value: r.value }
}

ruleset!(readings = 1: average, alarm);

#[test]
fn scenario_54_a_window_over_the_last_three_facts_is_the_same_after_a_restart() {
    survives(
        readings,
        &[
            step("of nothing", World::fire, ["0 of the last 0"]),
            step("a first one", |w| w.insert("first", reading(1)), []),
            step("fire", World::fire, ["1 of the last 1"]),
            step(
                "three more",
                |w| {
                    w.insert("second", reading(10));
                    w.insert("third", reading(100));
                    w.insert("fourth", reading(1_000));
                },
                [],
            ),
            step("evaluated", World::flush, []),
            step("the last three", World::fire, ["1110 of the last 3"]),
            step("of the last two an alarm", |w| assert_eq!(w.count::<Alarm>(), 2), []),
            step("one that does not pass", |w| w.insert("bad", reading(-1)), []),
            step("pushes nobody out of the sum", World::fire, []),
            step("and an alarm out", |w| assert_eq!(w.count::<Alarm>(), 2), []),
            step(
                "one before the window changes",
                |w| w.update("first", |r: &mut Reading| r.value = 2),
                [],
            ),
            step("and is not seen", World::fire, []),
            step("the youngest goes", |w| w.delete::<Reading>("fourth"), []),
            step("an older one comes back", World::fire, ["112 of the last 3"]),
            step("one ceases to pass", |w| w.update("third", |r: &mut Reading| r.value = -2), []),
            step("there are but two", World::fire, ["12 of the last 2"]),
            step(
                "it passes again, in its old place",
                |w| w.update("third", |r: &mut Reading| r.value = 100),
                [],
            ),
            step("fire", World::fire, ["112 of the last 3"]),
        ],
    );
}

#[rule]
fn steady(
    #[window(length = 2)]
    #[not(r.value > 9)]
    r: Absent<Reading>,
) {
    say("steady".to_owned());
}

#[rule]
fn high(
    #[window(length = 2)]
    #[exists(r.sensor == 2)]
    r: Exists<Reading>,
) {
    say("the second sensor passed".to_owned());
}

#[rule]
fn by_sensor(
    #[window(length = 2)]
    #[group_by(r.sensor)]
    #[aggregate(count())]
    g: Group<Reading, u32, (u64,)>,
) {
    say(format!("{} of {}", g.0, g.key));
}

ruleset!(absences = 1: steady, high, by_sensor);

#[test]
fn a_fact_that_leaves_a_window_is_as_if_deleted_for_its_pattern_alone() {
    survives(
        absences,
        &[
            step("one", |w| w.insert("a", reading(1)), []),
            step("fire", World::fire, ["steady", "1 of 1"]),
            step("of another sensor", |w| w.insert("b", Reading { sensor: 2, value: 5 }), []),
            step("fire", World::fire, ["the second sensor passed", "1 of 2"]),
            step("one of it more", |w| w.insert("c", Reading { sensor: 2, value: 6 }), []),
            step("the first slides out", World::fire, ["2 of 2"]),
            step("of the first sensor", |w| w.insert("d", reading(3)), []),
            step("its group comes back, the other shrinks", World::fire, ["1 of 1", "1 of 2"]),
        ],
    );
}

fn at(world: &mut World, millis: i64) {
    world.session.advance_clock(millis).unwrap();
}

/// A sale that says itself when it happened.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, timestamp = at)]
struct Sale {
    shop: u32,
    amount: i64,
    at: i64,
}

#[rule]
fn turnover(
    #[window(time = "10s")]
    #[when(s.amount > 0)]
    #[group_by(s.shop)]
    #[aggregate(sum(s.amount))]
    g: Group<Sale, u32, (i64,)>,
) {
    say(format!("{} in shop {}", g.0, g.key));
}

/// Nothing was sold for ten seconds.
#[rule]
fn quiet(
    #[window(time = "10s")]
    #[not(s.amount > 0)]
    s: Absent<Sale>,
) {
    say("quiet");
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Busy {
    sale: i64,
}

/// Derived from a sale for as long as it is one of the last five seconds.
#[rule(logical)]
fn busy(#[window(time = "5s")] s: &Sale) -> Busy {
    Busy { sale: s.amount }
}

ruleset!(sales = 1: turnover, quiet, busy);

fn sale(shop: u32, amount: i64, at: i64) -> Sale {
    Sale { shop, amount, at }
}

#[test]
fn scenario_54_a_window_over_time_slides_at_the_same_moments_after_a_restart() {
    survives(
        sales,
        &[
            step("nothing yet", World::fire, ["quiet"]),
            step("a sale", |w| w.insert("first", sale(1, 5, 0)), []),
            step("in one shop", World::fire, ["5 in shop 1"]),
            step("three seconds later", |w| at(w, 3_000), []),
            step(
                "two more",
                |w| {
                    w.insert("second", sale(1, 20, 2_000));
                    w.insert("third", sale(2, 7, 3_000));
                },
                [],
            ),
            step("and none that counts", |w| w.insert("void", sale(1, 0, 3_000)), []),
            step("all within ten seconds", World::fire, ["25 in shop 1", "7 in shop 2"]),
            step("four of them within five", |w| assert_eq!(w.count::<Busy>(), 4), []),
            step("the last moment of the first", |w| at(w, 9_999), []),
            step("derived ones went", |w| assert_eq!(w.count::<Busy>(), 0), []),
            step("no sum did", World::fire, []),
            step("the first leaves", |w| at(w, 10_000), []),
            step("one sum is less", World::fire, ["20 in shop 1"]),
            step("the last two moments in one step", |w| at(w, 13_000), []),
            step("nothing is left", World::fire, ["quiet"]),
            step("of what is there still", |w| assert_eq!(w.count::<Sale>(), 4), []),
            step("one that comes too late", |w| w.insert("late", sale(2, 9, 3_000)), []),
            step("counts for nobody", World::fire, []),
            step("it happened later", |w| w.update("late", |s: &mut Sale| s.at = 9_000), []),
            step("now it counts", World::fire, ["9 in shop 2"]),
            step("it happened still later", |w| w.update("late", |s: &mut Sale| s.at = 12_000), []),
            step("which leaves the sum as it is", World::fire, []),
            step("its old end", |w| at(w, 19_000), []),
            step("is not its end", World::fire, []),
            step("it is deleted before it leaves", |w| w.delete::<Sale>("late"), []),
            step("which ends the window", World::fire, ["quiet"]),
            step("and its moment is none any more", |w| at(w, 30_000), []),
            step("nothing", World::fire, []),
        ],
    );
}

#[rule]
fn seen(#[window(time = "4s")] r: &Reading) {
    say(format!("seen {}", r.value));
}

#[rule(salience = -1)]
fn calm(
    #[window(time = "4s")]
    #[not(r.value > 9)]
    r: Absent<Reading>,
) {
    say("calm");
}

#[rule(salience = -1)]
fn still(
    #[window(time = "2s")]
    #[not(r.value > 9)]
    r: Absent<Reading>,
) {
    say("still");
}

#[rule(salience = -2)]
fn count(
    #[window(time = "4s")]
    #[group_by(r.sensor)]
    #[aggregate(count())]
    g: Group<Reading, u32, (u64,)>,
) {
    say(format!("{} of {}", g.0, g.key));
}

ruleset!(recent = 1: seen, calm, still);
ruleset!(counted = 1: count);

#[test]
fn scenario_52_what_left_a_window_during_an_outage_never_fires_and_what_did_not_does() {
    survives(
        recent,
        &[
            step("a high one", |w| w.insert("first", reading(10)), []),
            step("evaluated", World::flush, []),
            step(
                "another",
                |w| {
                    at(w, 3_000);
                    w.insert("second", reading(11));
                },
                [],
            ),
            step("evaluated", World::flush, []),
            step("the first slides out before it fires", |w| at(w, 4_000), []),
            step("the second does not", World::fire, ["seen 11"]),
            step("both absences begin in one step", |w| at(w, 60_000), []),
            step("fire", World::fire, ["calm", "still"]),
        ],
    );
}

#[test]
fn what_leaves_windows_in_one_step_of_the_clock_leaves_in_the_order_of_the_moments() {
    survives(
        counted,
        &[
            step("the second sensor first", |w| w.insert("a", Reading { sensor: 2, value: 1 }), []),
            step(
                "then the first",
                |w| {
                    at(w, 1_000);
                    w.insert("b", reading(1));
                },
                [],
            ),
            step(
                "both again",
                |w| {
                    at(w, 2_000);
                    w.insert("c", reading(2));
                    w.insert("d", Reading { sensor: 2, value: 2 });
                },
                [],
            ),
            step("two of each", World::fire, ["2 of 1", "2 of 2"]),
            step("their first ones leave in one step", |w| at(w, 5_500), []),
            // By their keys it would be the other way round.
            step("in the order of the moments", World::fire, ["1 of 2", "1 of 1"]),
        ],
    );
}

#[rule]
fn alone(
    s: &Sale,
    #[not(r: Reading window(time = "4s"), r.value == s.amount;
          o: Reading from "other" window(length = 1), o.value == r.value)]
    _n: Absent<(Reading, Reading)>,
) {
    say("no pair");
}

#[rule]
fn pairs(
    #[each(r: Reading window(length = 1))]
    #[each(o: Reading from "other", o.value == r.value)]
    #[aggregate(count())]
    g: Group<(Reading, Reading), (), (u64,)>,
) {
    say(format!("{} of the last", g.0));
}

ruleset!(named = 1: alone, pairs);

fn other(world: &mut World, value: i64) {
    world.session.entry("other").insert(reading(value)).unwrap();
}

#[test]
fn patterns_that_are_named_in_an_attribute_have_windows_of_their_own() {
    survives(
        named,
        &[
            step("a sale", |w| w.insert("sale", sale(1, 7, 0)), []),
            step("of which there is no pair", World::fire, ["no pair", "0 of the last"]),
            step(
                "a pair",
                |w| {
                    w.insert("r", reading(7));
                    other(w, 7);
                },
                [],
            ),
            step("of the last", World::fire, ["1 of the last"]),
            step("one more of the other end", |w| other(w, 8), []),
            step("is the last one there", World::fire, ["no pair"]),
            step("and one that fits", |w| other(w, 7), []),
            step("blocks again", World::fire, ["2 of the last"]),
            step("until its reading is too old", |w| at(w, 4_000), []),
            step("but it is the last one still", World::fire, ["no pair"]),
            step("until another comes", |w| w.insert("r", reading(8)), []),
            step("fire", World::fire, ["1 of the last"]),
        ],
    );
}

#[test]
fn why_not_names_the_window_that_a_fact_has_left() {
    let mut session = memory(recent());
    let first = session.insert(reading(10)).unwrap();
    session.advance_clock(4_000).unwrap();
    session.fire_all().unwrap();
    assert_eq!(said(), ["calm", "still"]);
    let why = session.why_not::<seen>(&[first.fact()]).unwrap().to_string();
    assert!(why.contains("window(time = 4000 ms)"), "{why}");
}

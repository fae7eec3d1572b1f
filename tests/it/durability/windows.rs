//! Windows over the last facts, over restarts (scenario 54).

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

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

//! What has fired, what waits, and in which order, over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Person {
    name: String,
    age: u32,
    note: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Birthday {
    name: String,
}

fn birthday(name: &str) -> Birthday {
    Birthday { name: name.to_owned() }
}

fn ann(age: u32) -> Person {
    Person { name: "Ann".to_owned(), age, note: String::new() }
}

#[rule]
fn adult(#[when(p.age >= 18)] p: &Person) {
    say(format!("{} is {}", p.name, p.age));
}

#[rule]
fn celebrate(
    b: Ref<Birthday>,
    #[when(p.name == b.name)]
    #[watch(!*)]
    p: Ref<Person>,
    cx: &mut Then,
) -> RuleResult {
    say(format!("happy birthday, {}", p.name));
    cx.modify(p, |p| p.age += 1)?;
    cx.delete(b)?;
    Ok(())
}

ruleset!(people = 1: adult, celebrate);

#[test]
fn a_rule_that_fired_for_what_a_consequence_changed_does_not_fire_again() {
    survives(
        people,
        &[
            step("Ann", |w| w.insert("ann", ann(20)), []),
            step("fire", World::fire, ["Ann is 20"]),
            step("a birthday", |w| w.insert("day", birthday("Ann")), []),
            step("fire", World::fire, ["happy birthday, Ann", "Ann is 21"]),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn a_match_that_ends_and_comes_back_fires_again() {
    survives(
        people,
        &[
            step("Ann", |w| w.insert("ann", ann(20)), []),
            step("fire", World::fire, ["Ann is 20"]),
            step("younger", |w| w.update("ann", |p: &mut Person| p.age = 10), []),
            step("fire", World::fire, []),
            step("older again", |w| w.update("ann", |p: &mut Person| p.age = 20), []),
            step("fire", World::fire, ["Ann is 20"]),
        ],
    );
}

#[test]
fn a_relevant_update_fires_again_and_an_irrelevant_one_does_not() {
    survives(
        people,
        &[
            step("Ann", |w| w.insert("ann", ann(20)), []),
            step("fire", World::fire, ["Ann is 20"]),
            step("a note", |w| w.update("ann", |p: &mut Person| p.note.push('!')), []),
            step("fire", World::fire, []),
            step("a year", |w| w.update("ann", |p: &mut Person| p.age = 21), []),
            step("fire", World::fire, ["Ann is 21"]),
        ],
    );
}

#[test]
fn a_run_that_was_limited_goes_on_with_the_rest() {
    survives(
        people,
        &[
            step(
                "three",
                |w| {
                    for (name, age) in [("Ann", 20), ("Bob", 30), ("Cid", 40)] {
                        w.insert(name, Person { name: name.to_owned(), age, note: String::new() });
                    }
                },
                [],
            ),
            step("one firing", |w| w.fire_some(1), ["Ann is 20"]),
            step("one firing", |w| w.fire_some(1), ["Bob is 30"]),
            step("fire", World::fire, ["Cid is 40"]),
            step("fire", World::fire, []),
        ],
    );
}

mod of_one_package {
    use super::*;

    #[rule]
    pub(super) fn greet(p: &Person) {
        say(format!("hello, {}", p.name));
    }
}

mod of_another_package {
    use super::*;

    #[rule]
    pub(super) fn greet(p: &Person) {
        say(format!("good day, {}", p.name));
    }
}

use of_another_package::greet as formally;
use of_one_package::greet as plainly;

ruleset!(greetings = 1: plainly, formally);

/// Scenario 21.
#[test]
fn of_two_rules_of_one_name_in_different_packages_the_one_that_has_not_fired_fires() {
    survives(
        greetings,
        &[
            step("Ann", |w| w.insert("ann", ann(20)), []),
            step("one of them fires", |w| w.fire_some(1), ["hello, Ann"]),
            step("the other does", World::fire, ["good day, Ann"]),
            step("neither again", World::fire, []),
            step("Bob", |w| w.insert("bob", Person { name: "Bob".to_owned(), ..ann(30) }), []),
            step("evaluate", World::flush, []),
            step("both", World::fire, ["hello, Bob", "good day, Bob"]),
        ],
    );
}

#[rule]
fn count(#[aggregate(count(), sum(p.age))] g: Group<Person, (), (u64, u32)>) {
    say(format!("{} with {} years", g.0, g.1));
}

ruleset!(census = 1: count);

#[test]
fn an_accumulate_fires_once_for_each_of_its_values() {
    survives(
        census,
        &[
            step("Ann", |w| w.insert("ann", ann(37)), []),
            step("fire", World::fire, ["1 with 37 years"]),
            step("fire", World::fire, []),
            step("another", |w| w.insert("b", ann(40)), []),
            step("evaluate", World::flush, []),
            step("a third", |w| w.insert("c", ann(41)), []),
            step("fire", World::fire, ["3 with 118 years"]),
            step("one goes", |w| w.delete::<Person>("b"), []),
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["2 with 78 years"]),
        ],
    );
}

#[test]
fn an_accumulate_that_waits_still_waits() {
    survives(
        census,
        &[
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["0 with 0 years"]),
            step("25 years", |w| w.insert("ann", ann(25)), []),
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["1 with 25 years"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Room {
    name: String,
}

fn room(name: &str) -> Room {
    Room { name: name.to_owned() }
}

/// Facts refer to facts by their handles, which are good after a restart.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Fire {
    room: Handle<Room>,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sprinkler {
    room: Handle<Room>,
    on: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm;

#[rule]
fn turn_on(
    f: &Fire,
    #[when(s.room == f.room && !s.on)] s: Ref<Sprinkler>,
    cx: &mut Then,
) -> RuleResult {
    say("on");
    cx.modify(s, |s| s.on = true)
}

#[rule]
fn turn_off(
    #[when(s.on)] s: Ref<Sprinkler>,
    #[not(f.room == s.room)] f: Absent<Fire>,
    cx: &mut Then,
) -> RuleResult {
    say("off");
    cx.modify(s, |s| s.on = false)
}

#[rule(logical)]
fn raise(f: Exists<Fire>) -> Alarm {
    say("alarm");
    Alarm
}

#[rule]
fn calm(a: Absent<Alarm>, #[not(s.on)] s: Absent<Sprinkler>) {
    say("calm");
}

ruleset!(alarms = 1: raise, turn_on, turn_off, calm; facts: Room);

#[test]
fn an_alarm_cycle_with_absences_goes_on_where_it_was() {
    survives(
        alarms,
        &[
            step("calm", World::fire, ["calm"]),
            step("a room", |w| w.insert("room", room("hall")), []),
            step(
                "fire in it",
                |w| {
                    let room = w.held("room");
                    w.insert("fire", Fire { room });
                },
                [],
            ),
            step("fire the rules", World::fire, ["alarm"]),
            step(
                "a sprinkler in the restored room",
                |w| {
                    let room = w.held("room");
                    w.insert("sprinkler", Sprinkler { room, on: false });
                },
                [],
            ),
            step("fire the rules", World::fire, ["on"]),
            step("it is on", |w| assert!(w.get::<Sprinkler>("sprinkler").unwrap().on), []),
            step("the fire is out", |w| w.delete::<Fire>("fire"), []),
            step(
                "evaluate",
                |w| {
                    w.flush();
                    assert_eq!(w.count::<Alarm>(), 0);
                },
                [],
            ),
            step("fire the rules", World::fire, ["off", "calm"]),
            step("fire the rules", World::fire, []),
        ],
    );
}

#[test]
fn handles_inside_facts_lead_to_the_same_fact_for_all_of_them() {
    survives(
        alarms,
        &[
            step("a room", |w| w.insert("room", room("hall")), []),
            step(
                "two sprinklers",
                |w| {
                    let room = w.held("room");
                    w.insert("a", Sprinkler { room, on: true });
                    w.insert("b", Sprinkler { room, on: true });
                },
                [],
            ),
            step(
                "a new name by way of one",
                |w| {
                    let room = w.get::<Sprinkler>("a").unwrap().room;
                    w.session.update(room, |room| room.name = "lobby".to_owned()).unwrap();
                },
                [],
            ),
            step(
                "is seen by way of the other",
                |w| {
                    let room = w.get::<Sprinkler>("b").unwrap().room;
                    assert_eq!(w.session.get(room).unwrap().name, "lobby");
                },
                [],
            ),
        ],
    );
}

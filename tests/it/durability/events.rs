//! Events over restarts: expiration and temporal joins (scenarios 48-50 and 55).

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{Disk, fire, memory, said, say};

/// A price of a stock, with its time in itself.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, timestamp = at, expires = "20s")]
struct Tick {
    company: String,
    at: i64,
}

/// A measurement: its time is the clock when it is inserted.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "5s")]
struct Reading {
    sensor: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sensor {
    id: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, duration = took, expires = "1m")]
struct Job {
    id: u32,
    took: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "1m")]
struct Report {
    id: u32,
}

fn at(world: &mut World, millis: i64) {
    world.session.advance_clock(millis).unwrap();
}

fn tick(world: &mut World, company: &str) {
    let at = world.session.now();
    world.session.insert(Tick { company: company.to_owned(), at }).unwrap();
}

#[rule]
fn follows(
    #[when(d.company == "DROO")] d: &Tick,
    #[when(a.company == "ACME" && after(a, d, 5s..=8s))] a: &Tick,
) {
    say(format!("{} after {}", a.at, d.at));
}

ruleset!(market = 1: follows);

#[test]
fn scenario_48_an_event_that_follows_another_in_time_is_found_over_a_restart() {
    survives(
        market,
        &[
            step("DROO", |w| tick(w, "DROO"), []),
            step("6 s", |w| at(w, 6_000), []),
            step("ACME", |w| tick(w, "ACME"), []),
            step("fire", World::fire, ["6000 after 0"]),
            step("7 s", |w| at(w, 7_000), []),
            step("ACME", |w| tick(w, "ACME"), []),
            step("fire", World::fire, ["7000 after 0"]),
            step("10 s", |w| at(w, 10_000), []),
            step("ACME", |w| tick(w, "ACME"), []),
            step("fire", World::fire, []),
        ],
    );
}

#[rule]
fn three_at_once(
    #[when(d.company == "DROO")] d: &Tick,
    #[when(a.company == "ACME" && within(a, d, 10s))] a: &Tick,
    #[when(i.company == "INIT" && within(i, d, 10s) && within(i, a, 10s))] i: &Tick,
) {
    say(format!("{} {} {}", d.at, a.at, i.at));
}

ruleset!(meetings = 1: three_at_once);

#[test]
fn scenario_52_three_events_within_a_stretch_of_time_meet_over_restarts_and_none_outside_of_it() {
    survives(
        meetings,
        &[
            step("10 s", |w| at(w, 10_000), []),
            step("the second of the three", |w| tick(w, "ACME"), []),
            step("4 s later", |w| at(w, 14_000), []),
            step("the first", |w| tick(w, "DROO"), []),
            step("two are not three", World::fire, []),
            step("the last moment", |w| at(w, 20_000), []),
            step("the third", |w| tick(w, "INIT"), []),
            step("evaluated", World::flush, []),
            step("the stretch is over", |w| at(w, 23_500), []),
            step("but was not when they met", World::fire, ["14000 10000 20000"]),
            step("one that came too late for one of them", |w| tick(w, "INIT"), []),
            step("fire", World::fire, []),
            step(
                "one that says when it was",
                |w| {
                    w.session.insert(Tick { company: "INIT".to_owned(), at: 4_000 }).unwrap();
                },
                [],
            ),
            step("it is as far from both as it may be", World::fire, ["14000 10000 4000"]),
            step(
                "and one that was earlier",
                |w| {
                    w.session.insert(Tick { company: "INIT".to_owned(), at: 3_999 }).unwrap();
                },
                [],
            ),
            step("fire", World::fire, []),
        ],
    );
}

#[rule]
fn seen(s: &Sensor, #[when(r.sensor == s.id)] r: &Reading) {
    say(format!("{} was seen", r.sensor));
}

#[rule(logical)]
fn silent(s: &Sensor, #[not(r.sensor == s.id)] r: Absent<Reading>) -> Silent {
    Silent { sensor: s.id }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Silent {
    sensor: u32,
}

ruleset!(sensors = 1: seen, silent);

#[test]
fn scenario_49_an_event_expires_after_a_restart_at_its_original_deadline() {
    survives(
        sensors,
        &[
            step("later", |w| at(w, 1_000), []),
            step("a sensor", |w| w.insert("s", Sensor { id: 1 }), []),
            step("a reading", |w| w.insert("r", Reading { sensor: 1 }), []),
            step("fire", World::fire, ["1 was seen"]),
            step("almost", |w| at(w, 5_999), []),
            step("it is there", |w| assert_eq!(w.count::<Reading>(), 1), []),
            step("not silent", |w| assert_eq!(w.count::<Silent>(), 0), []),
            step("its time is over", |w| at(w, 6_000), []),
            step("it is gone", |w| assert!(w.get::<Reading>("r").is_none()), []),
            step("fire", World::fire, []),
            step("silent", |w| assert_eq!(w.count::<Silent>(), 1), []),
        ],
    );
}

#[test]
fn scenario_49_a_match_that_was_complete_in_time_still_fires() {
    survives(
        sensors,
        &[
            step("a sensor", |w| w.insert("s", Sensor { id: 1 }), []),
            step("a reading", |w| w.insert("r", Reading { sensor: 1 }), []),
            step("its time is over", |w| at(w, 9_000), []),
            step("a match holds it", |w| assert!(w.get::<Reading>("r").is_some()), []),
            step("a second sensor of that number", |w| w.insert("t", Sensor { id: 1 }), []),
            step("fire: not for what came too late", World::fire, ["1 was seen"]),
            step("it is gone", |w| assert!(w.get::<Reading>("r").is_none()), []),
            step("both are silent", World::fire, []),
        ],
    );
}

#[test]
fn an_event_that_a_cancelled_match_held_goes_with_the_next_step_of_the_clock() {
    survives(
        sensors,
        &[
            step("a sensor", |w| w.insert("s", Sensor { id: 1 }), []),
            step("a reading", |w| w.insert("r", Reading { sensor: 1 }), []),
            step("its time is over", |w| at(w, 9_000), []),
            step("nobody holds it now", |w| w.session.clear_group("MAIN").unwrap(), []),
            step("nothing happens at this moment", |w| at(w, 9_001), []),
            step("it is gone", |w| assert!(w.get::<Reading>("r").is_none()), []),
            step("and silent it is", World::fire, []),
            step("silent", |w| assert_eq!(w.count::<Silent>(), 1), []),
        ],
    );
}

#[test]
fn scenario_50_a_clock_that_passed_an_expiry_leaves_nothing_to_be_done() {
    survives(
        sensors,
        &[
            step("a reading", |w| w.insert("r", Reading { sensor: 1 }), []),
            step("its time is over", |w| at(w, 9_000), []),
            step("it is gone", |w| assert!(w.get::<Reading>("r").is_none()), []),
            step("its sensor", |w| w.insert("s", Sensor { id: 1 }), []),
            step("fire", World::fire, []),
        ],
    );
}

#[rule]
fn falls_silent(s: &Sensor, #[not(r.sensor == s.id)] r: Absent<Reading>) {
    say(format!("{} falls silent", s.id));
}

ruleset!(silence = 1: falls_silent);

#[test]
fn events_that_one_step_of_the_clock_ends_go_by_deadline_and_then_by_age() {
    survives(
        silence,
        &[
            step(
                "three sensors that were heard of",
                |w| {
                    for (name, sensor) in [("c", 3), ("b", 2)] {
                        w.insert(name, Reading { sensor });
                    }
                    at(w, 1_000);
                    w.insert("a", Reading { sensor: 1 });
                    for (name, id) in [("1", 1), ("2", 2), ("3", 3)] {
                        w.insert(name, Sensor { id });
                    }
                },
                [],
            ),
            step("nothing of them", World::fire, []),
            step("all in one step", |w| at(w, 60_000), []),
            // By their handles it would be 1, 2, 3.
            step("fire", World::fire, ["3 falls silent", "2 falls silent", "1 falls silent"]),
        ],
    );
}

#[test]
fn an_event_that_comes_when_its_time_is_over_joins_nothing() {
    let mut session = memory(market());
    session.advance_clock(30_000).unwrap();
    for (company, at) in [("DROO", 1_000), ("ACME", 7_000)] {
        session.insert(Tick { company: company.to_owned(), at }).unwrap();
    }
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.fact_count(), 0);
}

#[rule]
fn unreported(j: &Job, #[not(r.id == j.id && after(r, j, 0..=5s))] r: Absent<Report>) {
    say(format!("{} has no report", j.id));
}

ruleset!(jobs = 1: unreported);

#[test]
fn scenario_55_an_absence_is_decided_when_its_time_has_passed() {
    survives(
        jobs,
        &[
            step("a job", |w| w.insert("a", Job { id: 1, took: 2_000 }), []),
            step("another", |w| w.insert("b", Job { id: 2, took: 2_000 }), []),
            step("fire", World::fire, []),
            step("4 s", |w| at(w, 4_000), []),
            step("a report", |w| w.insert("r", Report { id: 2 }), []),
            step("fire", World::fire, []),
            step("the last moment", |w| at(w, 7_000), []),
            step("fire", World::fire, []),
            step("past it", |w| at(w, 7_001), []),
            step("it is pending", |w| assert_eq!(w.session.pending().len(), 1), []),
            step("fire", World::fire, ["1 has no report"]),
            step("a late report", |w| w.insert("l", Report { id: 1 }), []),
            step("fire", World::fire, []),
        ],
    );
}

/// Some job of a sensor's had no report in time: of those inside time decides one by one.
#[rule]
fn somebody_failed(
    s: &Sensor,
    #[exists(j: Job, j.id == s.id; not(r: Report, r.id == j.id && after(r, j, 0..=5s)))] _e: Exists<
        (Job, Report),
    >,
) {
    say(format!("a job of {} has no report", s.id));
}

/// Every job had one.
#[rule]
fn all_reported(
    s: &Sensor,
    #[forall(j: Job, j.id == s.id; r: Report, r.id == j.id && after(r, j, 0..=5s))] _all: Forall<(
        Job,
        Report,
    )>,
) {
    say(format!("no job of {} is without report", s.id));
}

ruleset!(inside = 1: somebody_failed, all_reported);

#[test]
fn scenario_55_an_absence_inside_of_others_is_decided_when_its_time_has_passed() {
    survives(
        inside,
        &[
            step("a sensor", |w| w.insert("s", Sensor { id: 1 }), []),
            step("no job at all", World::fire, ["no job of 1 is without report"]),
            step("a job", |w| w.insert("a", Job { id: 1, took: 2_000 }), []),
            step("which may still be reported", World::fire, []),
            step("3 s", |w| at(w, 3_000), []),
            step("a second one", |w| w.insert("b", Job { id: 1, took: 0 }), []),
            step("a report", |w| w.insert("r", Report { id: 1 }), []),
            step("of both", World::fire, []),
            step("the last moment of the first", |w| at(w, 7_001), []),
            step("it is reported", World::fire, []),
            step("the report was none", |w| w.delete::<Report>("r"), []),
            step("the first is without one", World::fire, ["a job of 1 has no report"]),
            step("and is taken back", |w| w.delete::<Job>("a"), []),
            step("so that all is well", World::fire, ["no job of 1 is without report"]),
            step("for the second it is decided later", |w| at(w, 8_000), []),
            step("not yet", World::fire, []),
            step("past its time", |w| at(w, 8_001), []),
            step("it is pending", |w| assert_eq!(w.session.pending().len(), 1), []),
            step("fire", World::fire, ["a job of 1 has no report"]),
        ],
    );
}

#[test]
fn why_not_says_when_an_absence_inside_is_decided() {
    let mut session = memory(inside());
    let sensor = session.insert(Sensor { id: 1 }).unwrap();
    session.insert(Job { id: 1, took: 2_000 }).unwrap();
    session.flush().unwrap();
    let why = session.why_not::<somebody_failed>(&[sensor.fact()]).unwrap().to_string();
    assert!(why.contains("is not blocked, which is decided at 7001 ms"), "{why}");
    session.advance_clock(7_001).unwrap();
    assert!(session.why_not::<somebody_failed>(&[sensor.fact()]).unwrap().matches);
}

/// No report of the job in five seconds that a further job followed in eight.
#[rule]
fn without_sequel(
    j: &Job,
    #[not(r: Report, r.id == j.id && after(r, j, 0..=5s); k: Job, k.id == r.id + 10 && after(k, j, 0..=8s))]
    _n: Absent<(Report, Job)>,
) {
    say(format!("{} has no sequel", j.id));
}

ruleset!(sequels = 1: without_sequel);

#[test]
fn scenario_55_a_not_over_several_patterns_waits_if_each_is_bounded_by_the_match() {
    survives(
        sequels,
        &[
            step("a job", |w| w.insert("a", Job { id: 1, took: 0 }), []),
            step("another", |w| w.insert("b", Job { id: 2, took: 0 }), []),
            step("both wait", World::fire, []),
            step("4 s", |w| at(w, 4_000), []),
            step("a report", |w| w.insert("r", Report { id: 2 }), []),
            step("5 s", |w| at(w, 5_001), []),
            step("no further report counts, but a sequel may", World::fire, []),
            step("a sequel", |w| w.insert("k", Job { id: 12, took: 0 }), []),
            step("the last moment", |w| at(w, 8_000), []),
            step("fire", World::fire, []),
            step("past it", |w| at(w, 8_001), []),
            step("one is without", World::fire, ["1 has no sequel"]),
            step("past that of the sequel", |w| at(w, 20_000), []),
            step("that as well", World::fire, ["12 has no sequel"]),
        ],
    );
}

#[test]
fn temporal_conditions_say_the_same_from_both_sides() {
    #[rule]
    fn before_it(r: &Report, #[when(before(j, r, 1s..=3s))] j: &Job) {
        say(format!("{} before {}", j.id, r.id));
    }
    #[rule]
    fn after_it(j: &Job, #[when(after(r, j, 1s..4s))] r: &Report) {
        say(format!("{} after {}", r.id, j.id));
    }
    #[rule]
    fn long_after(j: &Job, #[when(after(r, j, 5s..))] r: &Report) {
        say(format!("{} long after {}", r.id, j.id));
    }
    #[rule]
    fn near(j: &Job, #[when(within(r, j, 3s))] r: &Report) {
        say(format!("{} near {}", r.id, j.id));
    }
    #[rule]
    fn same(j: &Job, #[when(j.id < k.id && coincides(k, j, 1s))] k: &Job) {
        say(format!("{} as {}", k.id, j.id));
    }
    ruleset!(all = 1: before_it, after_it, long_after, near, same);
    let mut session = memory(all());
    let mut events = Vec::new();
    session.insert(Job { id: 1, took: 1_000 }).unwrap();
    for (clock, id) in [(1_999, 1), (2_000, 2), (3_000, 3), (4_000, 4), (4_001, 5), (6_000, 6)] {
        session.advance_clock(clock).unwrap();
        session.insert(Report { id }).unwrap();
        events.extend(fire(&mut session));
    }
    let expected = [
        "1 near 1",
        "1 before 2",
        "2 after 1",
        "2 near 1",
        "1 before 3",
        "3 after 1",
        "3 near 1",
        "1 before 4",
        "4 after 1",
        "5 after 1",
        "6 long after 1",
    ];
    assert_eq!(events, expected);
    for (id, took) in [(7, 100), (8, 1_100), (9, 1_200)] {
        session.insert(Job { id, took }).unwrap();
    }
    let coinciding: Vec<String> =
        fire(&mut session).into_iter().filter(|it| it.contains("as")).collect();
    assert_eq!(coinciding, ["8 as 7", "9 as 8"]);
}

#[test]
fn expired_events_are_gone_from_a_session_that_is_reopened_later() {
    let disk = Disk::new();
    let mut session = disk.open(sensors());
    session.insert(Reading { sensor: 1 }).unwrap();
    drop(session);
    let mut session = disk.open(sensors());
    assert_eq!(session.next_moment(), Some(5_000));
    session.advance_clock(1_000_000).unwrap();
    assert_eq!(session.query::<Reading>().unwrap().len(), 0);
    assert!(said().is_empty());
}

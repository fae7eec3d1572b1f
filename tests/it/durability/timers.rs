//! Timers over restarts (scenarios 53 and 56): what had been waited before a crash counts after it.

use steadfast::prelude::*;
use steadfast::{Missed, ir};

use super::{World, step, survives};
use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Pump {
    id: u32,
    on: bool,
    note: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Checked {
    id: u32,
}

fn pump(id: u32) -> Pump {
    Pump { id, on: true, note: String::new() }
}

#[rule(timer(initial = "20s", every = "30s"))]
fn inspect(#[when(p.on)] p: &Pump, cx: &mut Then) {
    say(format!("inspect {} at {}", p.id, cx.now()));
}

#[rule(timer = "15s", salience = 1)]
fn settle(#[when(p.on)] p: &Pump) {
    say(format!("{} has settled", p.id));
}

#[rule(logical, timer = "40s")]
fn checked(#[when(p.on)] p: &Pump) -> Checked {
    Checked { id: p.id }
}

ruleset!(pumps = 1: inspect, settle, checked);

fn at(world: &mut World, millis: i64) {
    world.session.advance_clock(millis).unwrap();
}

#[test]
fn scenario_53_after_a_restart_a_timer_fires_at_the_remaining_time() {
    survives(
        pumps,
        &[
            step("later", |w| at(w, 1_000), []),
            step("a pump", |w| w.insert("a", pump(1)), []),
            step("fire", World::fire, []),
            step("10.5 s", |w| at(w, 11_500), []),
            step("fire", World::fire, []),
            step("a second pump", |w| w.insert("b", pump(2)), []),
            step("flush", World::flush, []),
            step("16 s", |w| at(w, 17_000), []),
            step("fire", World::fire, ["1 has settled"]),
            step("one short of 20 s", |w| at(w, 20_999), []),
            step("fire", World::fire, []),
            step("20 s", |w| at(w, 21_000), []),
            step("fire", World::fire, ["inspect 1 at 21000"]),
            step("an update that counts", |w| w.update("a", |p: &mut Pump| p.on = true), []),
            step("30 s later", |w| at(w, 51_000), []),
            step(
                "fire",
                World::fire,
                ["2 has settled", "inspect 2 at 51000", "inspect 1 at 51000"],
            ),
            step("checked", |w| assert_eq!(w.count::<Checked>(), 1), []),
            step("off", |w| w.update("a", |p: &mut Pump| p.on = false), []),
            step("unchecked", |w| assert_eq!(w.count::<Checked>(), 0), []),
            step("much later", |w| at(w, 200_000), []),
            step("fire", World::fire, ["inspect 2 at 200000"]),
            step(
                "nothing waits but the second pump",
                |w| assert_eq!(w.session.waiting().len(), 1),
                [],
            ),
        ],
    );
}

#[test]
fn a_match_waits_for_its_time_whatever_happens_to_its_facts_meanwhile() {
    let mut session = memory(pumps());
    let a = session.insert(pump(1)).unwrap();
    session.flush().unwrap();
    session.advance_clock(10_000).unwrap();
    session.touch(a).unwrap();
    assert!(fire(&mut session).is_empty(), "waiting goes on");
    session.advance_clock(15_000).unwrap();
    assert_eq!(fire(&mut session), ["1 has settled"]);
    session.touch(a).unwrap();
    assert!(fire(&mut session).is_empty(), "a delay that is over begins anew with a new trigger");
    session.advance_clock(30_000).unwrap();
    assert_eq!(fire(&mut session), ["1 has settled", "inspect 1 at 30000"]);
    session.delete(a).unwrap();
    session.advance_clock(1_000_000).unwrap();
    assert!(fire(&mut session).is_empty(), "a match that is gone waits no longer");
    assert!(session.waiting().is_empty());
}

#[test]
fn matches_fall_due_in_the_order_of_their_times() {
    #[rule(timer = "10s")]
    fn ring(p: &Pump) {
        say(p.id.to_string());
    }
    ruleset!(bells = 1: ring);
    let mut session = memory(bells());
    for (clock, id) in [(0, 3), (1_000, 1), (2_000, 2)] {
        session.advance_clock(clock).unwrap();
        session.insert(pump(id)).unwrap();
        session.flush().unwrap();
    }
    assert_eq!(session.next_moment(), Some(10_000));
    session.advance_clock(60_000).unwrap();
    assert_eq!(fire(&mut session), ["3", "1", "2"], "as many short steps would have had it");
    assert_eq!(session.next_moment(), None);
}

#[test]
fn what_is_staged_when_the_clock_moves_happened_before() {
    let mut session = memory(pumps());
    session.insert(pump(1)).unwrap();
    session.advance_clock(15_000).unwrap();
    assert_eq!(fire(&mut session), ["1 has settled"]);
}

#[test]
fn a_clock_of_the_outside_that_is_set_back_moves_nothing() {
    let mut session = memory(pumps());
    assert!(session.tick(5_000).unwrap());
    let commit = session.last_commit();
    assert!(!session.tick(4_000).unwrap() && !session.tick(5_000).unwrap());
    assert_eq!((session.now(), session.last_commit()), (5_000, commit));
}

#[test]
fn scenario_53_the_timer_of_a_removed_rule_is_dropped() {
    ruleset!(fewer = 2: settle);
    ruleset!(again = 3: inspect, settle);
    let disk = Disk::new();
    let mut session = disk.open(pumps());
    session.insert(pump(1)).unwrap();
    session.flush().unwrap();
    assert_eq!(session.waiting().len(), 3);
    session.close().unwrap();
    let keep = |rules| {
        crate::support::durable(&disk.path()).on_changed_rules(RulesPolicy::KeepFired).open(rules)
    };
    let session = keep(fewer()).unwrap();
    assert_eq!(session.waiting().len(), 1, "only the rule that is left waits");
    drop(session);
    let mut session = disk.open(fewer());
    session.advance_clock(15_000).unwrap();
    assert_eq!(fire(&mut session), ["1 has settled"]);
    session.close().unwrap();
    // A rule that is new counts from when it came.
    let mut session = keep(again()).unwrap();
    assert_eq!(session.waiting()[0].due, 35_000);
    session.advance_clock(35_000).unwrap();
    assert_eq!(fire(&mut session), ["inspect 1 at 35000"]);
}

#[rule(timer = "10s", late(drop, grace = "2s"))]
fn remind(p: &Pump) {
    say(format!("remind {}", p.id));
}

#[rule(timer(initial = "10s", every = "10s"), late(drop, grace = "2s"))]
fn poll(p: &Pump) {
    say(format!("poll {}", p.id));
}

ruleset!(reminders = 1: remind, poll);

fn missed(session: &mut Session) -> Vec<(String, i64, i64)> {
    let missed = session.effects::<Missed>().unwrap();
    let name = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    missed.iter().map(|it| (name(&it.rule), it.due, it.clock)).collect()
}

#[test]
fn scenario_56_what_falls_due_in_an_outage_is_delivered_within_its_grace() {
    survives(
        reminders,
        &[
            step("a pump", |w| w.insert("a", pump(1)), []),
            step("flush", World::flush, []),
            step("an outage of almost 12 s", |w| at(w, 11_999), []),
            step("fire", World::fire, ["remind 1", "poll 1"]),
            step("later", |w| at(w, 12_001), []),
            step("fire", World::fire, []),
            step("nothing was missed", |w| assert!(missed(&mut w.session).is_empty()), []),
        ],
    );
}

#[test]
fn scenario_56_beyond_its_grace_it_is_reported_and_never_delivered() {
    survives(
        reminders,
        &[
            step("a pump", |w| w.insert("a", pump(1)), []),
            step("flush", World::flush, []),
            step("an outage of 18 s", |w| at(w, 18_000), []),
            step(
                "it is reported",
                |w| {
                    let expected = |name: &str| (name.to_owned(), 10_000, 18_000);
                    assert_eq!(missed(&mut w.session), [expected("remind"), expected("poll")]);
                },
                [],
            ),
            step("fire", World::fire, []),
            step("a tick", |w| at(w, 19_000), []),
            step("fire", World::fire, []),
            step("the next time of the interval", |w| at(w, 20_500), []),
            step("fire", World::fire, ["poll 1"]),
            step(
                "the reports are acknowledged",
                |w| {
                    for it in w.session.effects::<Missed>().unwrap() {
                        w.session.acknowledge(it.key).unwrap();
                    }
                },
                [],
            ),
            step("another outage", |w| at(w, 55_000), []),
            step(
                "of an interval the last time is reported",
                |w| assert_eq!(missed(&mut w.session), [("poll".to_owned(), 50_000, 55_000)]),
                [],
            ),
        ],
    );
    assert!(said().is_empty());
}

#[test]
fn a_rule_prints_its_timer() {
    let rule = <remind as ir::Rule>::definition();
    assert!(format!("{rule:?}").contains("after 10000 ms, late Drop { grace: 2000 }"), "{rule:?}");
}

#[cfg(feature = "cron")]
mod cron {
    use super::*;

    #[rule(timer(cron = "0 */5 * * * *"))]
    fn report(p: &Pump, cx: &mut Then) {
        say(format!("{} at {}", p.id, cx.now() / 60_000));
    }

    #[rule(timer(cron = "0 */5 * * *"))]
    fn wrong(p: &Pump) {
        say(format!("{} never", p.id));
    }

    ruleset!(reports = 1: report);
    ruleset!(wrongs = 1: wrong);

    #[test]
    fn scenario_53_a_schedule_goes_on_after_a_restart() {
        survives(
            reports,
            &[
                step("a pump", |w| w.insert("a", pump(1)), []),
                step("flush", World::flush, []),
                step("a second short", |w| at(w, 299_000), []),
                step("fire", World::fire, []),
                step("five past", |w| at(w, 300_000), []),
                step("fire", World::fire, ["1 at 5"]),
                step("thirteen past", |w| at(w, 780_000), []),
                step("fire", World::fire, ["1 at 13"]),
                step("fifteen past", |w| at(w, 900_000), []),
                step("fire", World::fire, ["1 at 15"]),
            ],
        );
    }

    #[test]
    fn an_expression_that_cannot_be_read_makes_no_ruleset() {
        let error = Session::memory(wrongs()).err().unwrap();
        assert_eq!(error.code(), "SF0001");
        assert!(error.report().contains("0 */5 * * *"), "{}", error.report());
    }
}

//! Absences, branches and entry points over restarts.

use steadfast::Ruleset;
use steadfast::aggregate::Count;
use steadfast::ir::{RuleBuilder, RuleDef};
use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{Disk, durable, fire, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn both(
    #[from("east")] e: &Order,
    #[when(w.id == e.id)]
    #[from("west")]
    w: &Order,
) {
    say(format!("{} from both", w.id));
}

ruleset!(doors = 1: both; facts: Order);

fn through(world: &mut World, door: &str) {
    world.session.entry(door).insert(Order { id: 1 }).unwrap();
}

/// Scenario 22.
#[test]
fn of_two_matches_over_two_entry_points_the_one_that_has_not_fired_survives() {
    survives(
        doors,
        &[
            step("east", |w| through(w, "east"), []),
            step("west", |w| through(w, "west"), []),
            step("a plain one", |w| w.insert("plain", Order { id: 1 }), []),
            step("west again", |w| through(w, "west"), []),
            step("fire one", |w| w.fire_some(1), ["1 from both"]),
            step("fire the other", World::fire, ["1 from both"]),
            step("fire nothing", World::fire, []),
            step(
                "west goes",
                |w| {
                    let west = w.session.entry("west").query::<Order>().unwrap()[0].handle();
                    assert!(w.session.entry("west").delete(west).unwrap());
                },
                [],
            ),
            step("east comes", |w| through(w, "east"), []),
            step("fire with the other", World::fire, ["1 from both"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Room {
    name: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Fire {
    room: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sprinkler {
    room: Handle<Room>,
    of: String,
    on: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {}

#[rule(logical)]
fn alarm(#[exists(r: Room; f: Fire, f.room == r.name)] _fire: Exists<(Room, Fire)>) -> Alarm {
    say("alarm");
    Alarm {}
}

#[rule]
fn turn_on(
    r: Ref<Room>,
    #[exists(f.room == r.name)] f: Exists<Fire>,
    #[when(!s.on && s.of == r.name)] s: Ref<Sprinkler>,
    cx: &mut Then,
) -> RuleResult {
    assert_eq!(s.room, r.handle(), "the handle in the restored fact is the restored room's");
    say(format!("on in the {}", r.name));
    cx.modify(s, |s| s.on = true)
}

#[rule]
fn turn_off(
    #[when(s.on)] s: Ref<Sprinkler>,
    #[not(f: Fire)] _none: Absent<Fire>,
    cx: &mut Then,
) -> RuleResult {
    say("off");
    cx.modify(s, |s| s.on = false)
}

#[rule(salience = -10)]
fn all_is_well(
    _a: Absent<Alarm>,
    #[forall(s: Sprinkler; !s.on)] _off: Forall<Sprinkler>,
    #[exists(r: Room; s: Sprinkler)]
    #[cross]
    _equipped: Exists<(Room, Sprinkler)>,
) {
    say("all is well");
}

ruleset!(brigade = 1: alarm, turn_on, turn_off, all_is_well);

/// Scenario 26.
#[test]
fn a_cycle_of_alarms_by_absences_and_presences_goes_on_over_restarts() {
    survives(
        brigade,
        &[
            step("a room", |w| w.insert("hall", Room { name: "hall".to_owned() }), []),
            step("a fire", |w| w.insert("fire", Fire { room: "hall".to_owned() }), []),
            step("the alarm", World::fire, ["alarm"]),
            step(
                "a sprinkler of the restored room",
                |w| {
                    let room = w.held("hall");
                    w.insert("sprinkler", Sprinkler { room, of: "hall".to_owned(), on: false });
                },
                [],
            ),
            step("it is turned on", World::fire, ["on in the hall"]),
            step("nothing more", World::fire, []),
            step("the fire is out", |w| w.delete::<Fire>("fire"), []),
            step("the alarm is over", |w| assert_eq!(w.count::<Alarm>(), 0), []),
            step("off first", |w| w.fire_some(1), ["off"]),
            step("then well", World::fire, ["all is well"]),
            step("another fire", |w| w.insert("fire", Fire { room: "hall".to_owned() }), []),
            step("again", World::fire, ["alarm", "on in the hall"]),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Part {
    order: u64,
    done: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Derived {
    order: u64,
    from: String,
}

fn derived(order: u64, from: &str) -> Derived {
    Derived { order, from: from.to_owned() }
}

#[rule(logical)]
fn by_absence(
    o: &Order,
    #[not(p: Part, p.order == o.id; q: Part, q.order == p.order && q.done != p.done)] _n: Absent<(
        Part,
        Part,
    )>,
) -> Derived {
    derived(o.id, "absence")
}

#[rule(logical)]
fn by_presence(o: &Order, #[exists(p.order == o.id)] p: Exists<Part>) -> Derived {
    derived(o.id, "presence")
}

#[rule(logical)]
fn by_count(
    o: &Order,
    #[aggregate(count())]
    #[when(p.order == o.id)]
    g: Group<Part, (), (u64,)>,
    #[having(g.0 > 1)] _h: Having,
) -> Derived {
    derived(o.id, "count")
}

#[rule(logical)]
fn by_either(
    #[or(p: Part, p.order == o.id && p.done)]
    #[or(q: Part, q.order == o.id && !q.done)]
    o: &Order,
) -> Derived {
    derived(o.id, "either")
}

ruleset!(reasons = 1: by_absence, by_presence, by_count, by_either);

fn part(order: u64, done: bool) -> Part {
    Part { order, done }
}

fn kinds(w: &mut World) -> Vec<String> {
    w.session.query::<Derived>().unwrap().iter().map(|fact| fact.from.clone()).collect()
}

/// Scenario 38.
#[test]
fn derived_facts_under_absences_presences_counts_and_branches_come_and_go_over_restarts() {
    survives(
        reasons,
        &[
            step("an order", |w| w.insert("order", Order { id: 1 }), []),
            step("fire", World::fire, []),
            step("by absence", |w| assert_eq!(kinds(w), ["absence"]), []),
            step("a part", |w| w.insert("a", Part { order: 1, done: true }), []),
            step("fire", World::fire, []),
            step("more", |w| assert_eq!(kinds(w), ["absence", "presence", "either"]), []),
            step("a part that differs", |w| w.insert("b", Part { order: 1, done: false }), []),
            step("absence ended", |w| assert_eq!(kinds(w), ["presence", "either"]), []),
            step("fire", World::fire, []),
            step("a count", |w| assert_eq!(kinds(w), ["presence", "either", "count"]), []),
            step("one branch ends", |w| w.delete::<Part>("a"), []),
            step("fire", World::fire, []),
            step(
                "the other holds",
                |w| assert_eq!(kinds(w), ["presence", "either", "absence"]),
                [],
            ),
            step("the last part", |w| w.delete::<Part>("b"), []),
            step("absence alone", |w| assert_eq!(kinds(w), ["absence"]), []),
        ],
    );
}

/// A rule, or a branch of one, for parts that are done, or that are not.
fn offer(done: bool) -> RuleDef {
    let mut rule = RuleBuilder::new("test::offer").makes::<Derived>();
    let o = rule.each::<Order>("o");
    let p = rule.each::<Part>("p");
    rule.when(p, &format!("p.done == {done}"), &["done"], move |p| p.done == done);
    rule.exact_key("p.order == o.id", (p, "order"), |p| p.order, (o, "id"), |o| o.id);
    rule.then(move |row, cx| {
        let reason = if done { "done" } else { "open" };
        say(format!("{} {reason}", o.of(row).id));
        cx.insert_logical(derived(o.of(row).id, reason))?;
        Ok(())
    })
}

fn offers() -> Ruleset {
    Ruleset::new("offers", 1).rule(offer(true).or(offer(false)))
}

fn fewer_offers() -> Ruleset {
    Ruleset::new("offers", 1).rule(offer(true))
}

#[test]
fn a_branch_that_is_taken_away_takes_what_waits_and_what_it_supports_with_it() {
    let disk = Disk::new();
    let mut session = disk.open(offers());
    session.insert(Order { id: 1 }).unwrap();
    for done in [false, true, false] {
        session.insert(part(1, done)).unwrap();
        session.flush().unwrap();
    }
    session.fire(2).unwrap();
    assert_eq!(crate::support::said(), ["1 open", "1 done"]);
    drop(session);
    assert!(disk.try_open(fewer_offers()).is_err(), "the conditions changed");
    for (policy, fires) in
        [(RulesPolicy::KeepFired, &[][..]), (RulesPolicy::Reevaluate, &["1 done"])]
    {
        let disk = disk.crash();
        let open = |policy| durable(&disk.path()).on_changed_rules(policy).open(fewer_offers());
        let mut session = open(policy).unwrap();
        let left: Vec<String> =
            session.query::<Derived>().unwrap().iter().map(|it| it.from.clone()).collect();
        assert_eq!(left, ["done"], "{policy:?}");
        assert_eq!(fire(&mut session), fires, "{policy:?}");
        let digest = session.digest();
        drop(session);
        assert_eq!(open(RulesPolicy::Reject).unwrap().digest(), digest, "{policy:?}");
    }
}

/// There is an order of which the parts that are done weigh more than the limit.
fn heavy() -> Ruleset {
    let mut rule = RuleBuilder::new("test::heavy");
    rule.exists_of(|rule| {
        let o = rule.each::<Order>("o");
        let p = rule.element::<Part>("p");
        rule.exact_key("p.order == o.id", (p, "order"), |p| p.order, (o, "id"), |o| o.id);
        rule.when(p, "p.done", &["done"], |p| p.done);
        let count = rule.accumulate::<(), _, _>(p, &[], Count, |_| ());
        rule.having(count, "count > 1", |count| **count > 1);
    });
    let rule = rule.then(|_, _| {
        say("an order is heavy");
        Ok(())
    });
    Ruleset::new("heavy", 1).rule(rule)
}

#[test]
fn a_group_inside_of_an_exists_goes_on_after_a_restart() {
    survives(
        heavy,
        &[
            step(
                "two orders",
                |w| {
                    w.insert("one", Order { id: 1 });
                    w.insert("two", Order { id: 2 });
                },
                [],
            ),
            step(
                "a part of each",
                |w| {
                    w.insert("a", Part { order: 1, done: true });
                    w.insert("b", Part { order: 2, done: true });
                },
                [],
            ),
            step("fire", World::fire, []),
            step("another", |w| w.insert("c", Part { order: 1, done: false }), []),
            step("which is not done", World::fire, []),
            step("now it is", |w| w.update("c", |p: &mut Part| p.done = true), []),
            step("fire", World::fire, ["an order is heavy"]),
            step("the other order, too", |w| w.insert("d", Part { order: 2, done: true }), []),
            step("is no news", World::fire, []),
            step("the first is not any more", |w| w.delete::<Part>("a"), []),
            step("the other is", World::fire, []),
            step("now it is not", |w| w.delete::<Part>("b"), []),
            step("neither", World::fire, []),
            step("and again", |w| w.insert("e", Part { order: 2, done: true }), []),
            step("fire", World::fire, ["an order is heavy"]),
        ],
    );
}

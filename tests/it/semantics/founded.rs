//! S86 and S92: what only stands on itself, and what only the statement of a fact holds.

use steadfast::prelude::*;

use crate::support::{fire, memory, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Edge {
    from: u32,
    to: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Path {
    from: u32,
    to: u32,
}

#[rule(logical)]
fn step(e: &Edge) -> Path {
    Path { from: e.from, to: e.to }
}

#[rule(logical)]
fn far(p: &Path, #[when(e.from == p.to)] e: &Edge) -> Path {
    Path { from: p.from, to: e.to }
}

ruleset!(paths = 1: step, far);

fn paths_from(session: &mut Session, from: u32) -> Vec<u32> {
    session.query::<Path>().unwrap().iter().filter(|p| p.from == from).map(|p| p.to).collect()
}

#[test]
fn s92_facts_that_support_only_each_other_fall() {
    let mut session = memory(paths());
    let gate = session.insert(Edge { from: 1, to: 2 }).unwrap();
    session.insert(Edge { from: 2, to: 3 }).unwrap();
    session.insert(Edge { from: 3, to: 2 }).unwrap();
    session.fire_all().unwrap();
    assert_eq!(paths_from(&mut session, 1), [2, 3]);
    // 1 → 2 is still supported by 1 → 3 and the edge back, and that one by it.
    session.delete(gate).unwrap();
    assert!(paths_from(&mut session, 1).is_empty());
    assert_eq!(paths_from(&mut session, 2), [3, 2], "the circle itself stands on its edges");
}

#[test]
fn s92_a_circle_with_another_way_in_stays_and_nothing_fires() {
    let mut session = memory(paths());
    let gate = session.insert(Edge { from: 1, to: 2 }).unwrap();
    session.insert(Edge { from: 1, to: 3 }).unwrap();
    session.insert(Edge { from: 2, to: 3 }).unwrap();
    session.insert(Edge { from: 3, to: 2 }).unwrap();
    session.fire_all().unwrap();
    let before: Vec<Handle<Path>> =
        session.query::<Path>().unwrap().iter().map(Ref::handle).collect();
    session.delete(gate).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 0);
    let after: Vec<Handle<Path>> =
        session.query::<Path>().unwrap().iter().map(Ref::handle).collect();
    assert_eq!(before, after);
}

#[test]
fn s92_a_fact_that_stands_on_its_own_statement_falls_with_it() {
    let mut session = memory(paths());
    session.insert(Edge { from: 7, to: 7 }).unwrap();
    let stated = session.insert(Path { from: 1, to: 7 }).unwrap();
    session.fire_all().unwrap();
    // The match of the path and the edge supports the path itself.
    assert!(session.delete(stated).unwrap());
    assert!(session.get(stated).is_some(), "until the next evaluation");
    assert!(paths_from(&mut session, 1).is_empty());
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Heater {
    room: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Warm {
    room: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Room {
    id: u32,
}

#[rule(logical)]
fn heated(h: &Heater) -> Warm {
    Warm { room: h.room }
}

/// Any neighbor will do, so that a match stays although its first witness goes.
#[rule(logical)]
fn shared(r: &Room, #[exists(n.room % 10 == r.id % 10 && n.room != r.id)] n: Exists<Warm>) -> Warm {
    Warm { room: r.id }
}

ruleset!(warmth = 1: heated, shared);

fn warm_rooms(session: &mut Session) -> Vec<u32> {
    session.query::<Warm>().unwrap().iter().map(|w| w.room).collect()
}

#[test]
fn s92_one_of_several_witnesses_has_to_be_founded() {
    let mut session = memory(warmth());
    let heater = session.insert(Heater { room: 1 }).unwrap();
    session.insert(Room { id: 11 }).unwrap();
    session.insert(Room { id: 21 }).unwrap();
    let other = session.insert(Heater { room: 31 }).unwrap();
    session.fire_all().unwrap();
    assert_eq!(warm_rooms(&mut session).len(), 4);
    session.delete(heater).unwrap();
    assert_eq!(warm_rooms(&mut session).len(), 3, "the other heater is enough");
    // Now 11 is warm because 21 is, and 21 because 11 is; no match has ended.
    session.delete(other).unwrap();
    assert!(warm_rooms(&mut session).is_empty());
}

/// A floor is warm while any of its rooms is.
#[rule(logical)]
fn floor(
    #[group_by(w.room / 100)]
    #[aggregate(count())]
    g: Group<Warm, u32, (u64,)>,
) -> Warm {
    say(format!("floor {}", g.key));
    Warm { room: g.key * 100 }
}

ruleset!(floors = 1: heated, floor);

#[test]
fn s92_a_group_stands_on_any_of_its_members() {
    let mut session = memory(floors());
    let heater = session.insert(Heater { room: 107 }).unwrap();
    assert_eq!(fire(&mut session), ["floor 1", "floor 1"]);
    // The floor itself counts as a room of the floor.
    assert_eq!(warm_rooms(&mut session), [107, 100]);
    session.delete(heater).unwrap();
    assert!(warm_rooms(&mut session).is_empty());
    assert!(fire(&mut session).is_empty());
}

#[test]
fn s92_unfounded_facts_fall_before_anything_fires_and_in_the_order_of_rules_and_facts() {
    #[rule(salience = -1)]
    fn cold(r: &Room, #[not(w.room == r.id)] w: Absent<Warm>) {
        say(format!("{} is cold", r.id));
    }
    ruleset!(cooling = 1: heated, shared, cold);
    let mut session = memory(cooling());
    let heater = session.insert(Heater { room: 1 }).unwrap();
    let first = session.insert(Room { id: 99 }).unwrap();
    session.insert(Room { id: 11 }).unwrap();
    assert_eq!(fire(&mut session), ["99 is cold"]);
    session.update(first, |r| r.id = 21).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(heater).unwrap();
    // The warmth of 11 is older than that of 21, so it falls first, although the room is younger.
    assert_eq!(fire(&mut session), ["11 is cold", "21 is cold"]);
}

#[test]
fn s86_deleting_the_statement_of_a_fact_leaves_what_is_derived() {
    let mut session = memory(paths());
    let edge = session.insert(Edge { from: 1, to: 2 }).unwrap();
    session.fire_all().unwrap();
    let derived = session.query::<Path>().unwrap()[0].handle();
    let commit = session.last_commit();
    assert!(!session.delete_stated(derived).unwrap(), "it was never stated");
    assert_eq!(session.last_commit(), commit);
    session.insert(Path { from: 1, to: 2 }).unwrap();
    assert!(session.delete_stated(derived).unwrap());
    assert_eq!(paths_from(&mut session, 1), [2]);
    assert!(session.delete_stated(edge).unwrap(), "nobody derives it: it goes");
    assert!(paths_from(&mut session, 1).is_empty());
    assert!(!session.delete_stated(edge).unwrap());
}

#[test]
fn s89_supports_of_a_match_that_is_updated_and_does_not_fire_stay() {
    let mut session = memory(paths());
    let edge = session.insert(Edge { from: 1, to: 2 }).unwrap();
    session.fire_all().unwrap();
    let derived = session.query::<Path>().unwrap()[0].handle();
    session.touch(edge).unwrap();
    session.fire(0).unwrap();
    assert_eq!(session.pending().len(), 1);
    assert_eq!(session.query::<Path>().unwrap()[0].handle(), derived);
}

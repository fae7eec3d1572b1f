//! S61 and S62 with groups: inside of a `not`, an `exists` and a `forall`, and as a branch.

use steadfast::prelude::*;

use crate::support::{Disk, fire, memory, pending, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Ward {
    id: u64,
    limit: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Patient {
    id: u64,
    ward: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Reading {
    patient: u64,
    value: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Calm {
    ward: u64,
}

#[rule(logical)]
fn calm(
    w: &Ward,
    #[not(
        p: Patient, p.ward == w.id;
        g: Group<Reading, (), (i64,)> when(r.patient == p.id) aggregate(sum(r.value)),
        g.0 > w.limit
    )]
    _high: Absent<(Patient, Group<Reading, (), (i64,)>)>,
) -> Calm {
    say(format!("ward {} is calm", w.id));
    Calm { ward: w.id }
}

#[rule]
fn measured(
    w: &Ward,
    #[forall(
        p: Patient, p.ward == w.id;
        n: Group<Reading, (), (u64,)> when(r.patient == p.id) aggregate(count());
        n.0 >= 2
    )]
    _known: Forall<(Patient, Group<Reading, (), (u64,)>)>,
) {
    say(format!("every patient of ward {} was measured twice", w.id));
}

/// Of patients of one ward, some value was measured more than once.
#[rule]
fn repeated(
    #[exists(
        g: Group<(Patient, Reading), (u64, i64), (u64,)>
            each(p: Patient)
            each(r: Reading, r.patient == p.id)
            group_by(p.ward, r.value)
            aggregate(count()),
        g.0 > 1;
        w: Ward, w.id == g.key.0
    )]
    _some: Exists<(Group<(Patient, Reading), (u64, i64), (u64,)>, Ward)>,
) {
    say("a value was repeated");
}

#[rule]
fn noticed(
    w: &Ward,
    #[or(p: Patient, p.ward == w.id && p.id == 99)]
    #[or(
        g: Group<Patient, u64, (u64,)> group_by(x.ward) aggregate(count()), g.key == w.id && g.0 > 1
    )]
    either: Either,
) {
    say(format!("ward {} by branch {}", w.id, either.branch()));
}

ruleset!(wards = 1: calm);
ruleset!(rounds = 1: measured);
ruleset!(echoes = 1: repeated);
ruleset!(notices = 1: noticed);

fn ward(session: &mut Session) -> Handle<Ward> {
    session.insert(Ward { id: 1, limit: 10 }).unwrap()
}

fn patient(session: &mut Session, id: u64) -> Handle<Patient> {
    session.insert(Patient { id, ward: 1 }).unwrap()
}

fn reading(session: &mut Session, patient: u64, value: i64) -> Handle<Reading> {
    session.insert(Reading { patient, value }).unwrap()
}

#[test]
fn s61_a_group_inside_of_an_absence_counts_the_facts_that_go_with_it() {
    let disk = Disk::new();
    let mut session = disk.open(wards());
    let ward = ward(&mut session);
    assert_eq!(fire(&mut session), ["ward 1 is calm"]);
    let one = patient(&mut session, 7);
    let high = reading(&mut session, 7, 11);
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Calm>().unwrap().is_empty(), "and what followed from it is gone");
    // Another patient's values are none of this one's: neither of them is above the limit.
    session.update(high, |r| r.value = 6).unwrap();
    patient(&mut session, 8);
    reading(&mut session, 8, 6);
    drop(session);
    let mut session = disk.open(wards());
    assert_eq!(fire(&mut session), ["ward 1 is calm"]);
    // One that is above for another, in one evaluation, is no change; neither is what stays below.
    let again = reading(&mut session, 7, 5);
    session.flush().unwrap();
    session.delete(again).unwrap();
    reading(&mut session, 8, 5);
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Calm>().unwrap().is_empty());
    session.update(ward, |w| w.limit = 11).unwrap();
    assert_eq!(fire(&mut session), ["ward 1 is calm"]);
    session.delete(one).unwrap();
    assert!(fire(&mut session).is_empty(), "it was calm before");
    assert_eq!(session.query::<Calm>().unwrap().len(), 1);
}

#[test]
fn s61_of_every_fact_a_group_holds() {
    let mut session = memory(rounds());
    ward(&mut session);
    assert_eq!(fire(&mut session), ["every patient of ward 1 was measured twice"]);
    patient(&mut session, 7);
    let other = patient(&mut session, 8);
    let values = [7, 7, 8].map(|patient| reading(&mut session, patient, 1));
    assert!(fire(&mut session).is_empty(), "one was measured once");
    session.delete(other).unwrap();
    assert_eq!(fire(&mut session), ["every patient of ward 1 was measured twice"]);
    session.delete(values[0]).unwrap();
    assert!(pending(&mut session).is_empty());
    session.update(values[2], |r| r.patient = 7).unwrap();
    assert_eq!(fire(&mut session), ["every patient of ward 1 was measured twice"]);
}

#[test]
fn s61_groups_by_key_are_facts_that_go_together_too() {
    let mut session = memory(echoes());
    ward(&mut session);
    for id in [7, 8] {
        patient(&mut session, id);
    }
    let values = [(7, 1), (8, 2), (7, 3)].map(|(of, value)| reading(&mut session, of, value));
    assert!(fire(&mut session).is_empty(), "every value was measured once");
    session.update(values[1], |r| r.value = 1).unwrap();
    assert_eq!(fire(&mut session), ["a value was repeated"]);
    // One group for another is no change.
    session.update(values[1], |r| r.value = 3).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(values[2]).unwrap();
    session.flush().unwrap();
    reading(&mut session, 8, 3);
    assert_eq!(fire(&mut session), ["a value was repeated"]);
}

#[test]
fn s62_a_branch_may_be_a_group() {
    let mut session = memory(notices());
    ward(&mut session);
    patient(&mut session, 7);
    assert!(fire(&mut session).is_empty());
    let second = patient(&mut session, 99);
    assert_eq!(fire(&mut session), ["ward 1 by branch 0", "ward 1 by branch 1"]);
    patient(&mut session, 8);
    assert_eq!(fire(&mut session), ["ward 1 by branch 1"], "the group has another value");
    session.delete(second).unwrap();
    assert_eq!(fire(&mut session), ["ward 1 by branch 1"]);
}

//! Right memories that rules share: who has which in common, while rules come and go.

use serde::{Deserialize, Serialize};
use steadfast_engine_core::ir::{RuleBuilder, RuleDef, Ruleset};
use steadfast_engine_core::{ChangeError, Discard, Engine, FireOptions};
use steadfast_macros::Fact;
use steadfast_wm::SessionId;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Item {
    key: i64,
    color: u8,
}

fn color(item: &Item) -> &u8 {
    &item.color
}

/// `first` of this color, and another item of the color 2 with the same key; or no such item.
fn rule(name: &str, first: u8, absent: bool) -> RuleDef {
    let mut rule = RuleBuilder::new(name);
    let a = rule.each::<Item>("a");
    rule.when_is(a, "color", color, first);
    let b = if absent { rule.not::<Item>("b") } else { rule.each::<Item>("b") };
    rule.when_is(b, "color", color, 2);
    rule.exact_key("b.key == a.key", (b, "key"), |b| b.key, (a, "key"), |a| a.key);
    rule.then(|_, _| Ok(()))
}

/// By rule and level, how many levels have its memory in common, and how many facts it has.
fn shared(engine: &Engine) -> Vec<Vec<(u64, u64)>> {
    let rules = engine.network().rules.into_iter();
    let of_levels = |rule: steadfast_engine_core::RuleNetwork| {
        rule.levels.iter().map(|it| (it.listeners.unwrap(), it.facts.unwrap())).collect()
    };
    rules.map(of_levels).collect()
}

fn insert(engine: &mut Engine, items: &[(i64, u8)]) {
    let staged = engine.stage(&mut Discard, |stage| {
        for &(key, color) in items {
            stage.insert(Item { key, color })?;
        }
        Ok::<_, ChangeError>(())
    });
    staged.unwrap();
}

fn fire(engine: &mut Engine) -> u64 {
    engine.fire(FireOptions::default(), &mut Discard).count
}

#[test]
fn memories_are_made_once_kept_while_somebody_listens_and_found_by_new_rules() {
    let rules = Ruleset::new("test", 1).rule(rule("red", 1, false)).rule(rule("lone", 1, true));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    insert(&mut engine, &[(1, 1), (2, 1), (3, 1), (1, 2), (3, 2), (9, 2)]);
    assert_eq!(fire(&mut engine), 3);
    assert_eq!(shared(&engine), [[(2, 3), (2, 3)], [(2, 3), (2, 3)]]);

    // A new rule finds the facts that are there.
    engine.add_rule(&rule("blue", 3, false), &mut Discard).unwrap();
    assert_eq!(fire(&mut engine), 0);
    assert_eq!(shared(&engine)[2], [(1, 0), (3, 3)]);
    insert(&mut engine, &[(9, 3)]);
    assert_eq!(fire(&mut engine), 1);

    // The rule that the memories were made for goes, and they stay.
    engine.remove_rule("red", &mut Discard).unwrap();
    assert_eq!(shared(&engine), [[(1, 3), (2, 3)], [(1, 1), (2, 3)]]);
    insert(&mut engine, &[(5, 1), (5, 2), (9, 2)]);
    assert_eq!(fire(&mut engine), 1);
    engine.remove_rule("lone", &mut Discard).unwrap();
    engine.remove_rule("blue", &mut Discard).unwrap();
    engine.add_rule(&rule("red", 1, false), &mut Discard).unwrap();
    assert_eq!(shared(&engine), [[(1, 4), (1, 5)]]);
    assert_eq!(fire(&mut engine), 3);
}

#[test]
fn what_is_rolled_back_leaves_shared_memories_as_they_were() {
    let rules = Ruleset::new("test", 1).rule(rule("red", 1, false)).rule(rule("lone", 1, true));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    insert(&mut engine, &[(1, 1), (2, 1), (1, 2)]);
    fire(&mut engine);
    let (before, digest) = (shared(&engine), engine.digest());
    let fired = engine.what_if(|engine| {
        insert(engine, &[(2, 2), (1, 2), (7, 1)]);
        let handles: Vec<_> =
            engine.facts::<Item>().iter().map(steadfast_engine_core::Ref::handle).collect();
        engine.stage(&mut Discard, |stage| stage.delete(handles[2])).unwrap();
        fire(engine)
    });
    assert_eq!(fired, 3);
    assert_eq!((shared(&engine), engine.digest()), (before, digest));
    insert(&mut engine, &[(2, 2)]);
    assert_eq!(fire(&mut engine), 1);
}

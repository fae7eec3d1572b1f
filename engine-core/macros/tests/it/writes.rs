//! What a rule's definition knows of what its consequence writes.

use serde::{Deserialize, Serialize};
use steadfast::ir::{Rule, RuleDef, Writes};
use steadfast::{Effect as _, FactType, Handle, Ref, RuleError, RuleResult, Stage, Then};
use steadfast_macros::{Effect, Fact, Global, rule};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    open: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold(u64);

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Armed;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Shape {
    Circle { radius: u64 },
    Point(u64),
}

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Tell {
    order: u64,
}

#[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Limit(u64);

/// As lines: the way, and what in it.
fn written(rule: &RuleDef) -> Vec<String> {
    let Writes { makes, derives, updates, deletes, changes, emits, globals, unseen } = &rule.writes;
    let facts = |way: &str, facts: &[FactType]| {
        let names = facts.iter().map(|fact| format!("{way} {}", fact.stored_name()));
        names.collect::<Vec<_>>()
    };
    let names = |way: &str, names: &[&str]| {
        names.iter().map(|name| format!("{way} {name}")).collect::<Vec<_>>()
    };
    let mut all = facts("makes", makes);
    all.extend(facts("derives", derives));
    all.extend(facts("updates", updates));
    all.extend(facts("deletes", deletes));
    all.extend(facts("changes", changes));
    all.extend(names("emits", emits));
    all.extend(names("sets", globals));
    all.extend(unseen.then(|| "and more".to_owned()));
    all
}

#[test]
fn literals_that_are_inserted_are_seen_in_every_form() {
    use Shape::Circle;

    #[rule]
    fn inserts(o: &Order, cx: &mut Then) -> RuleResult {
        cx.insert(Order { id: o.id + 1, ..o.clone() })?;
        if o.open {
            for id in 0..3 {
                cx.insert_unique(Hold(id))?;
            }
        }
        match o.id {
            0 => drop(cx.insert(Armed)?),
            _ => drop(cx.insert(Shape::Point(3))?),
        }
        cx.insert(Circle { radius: 3 })?;
        cx.insert_logical(Hold(7))?;
        cx.entry("east").insert(Hold(1))?;
        cx.emit(Tell { order: o.id })?;
        cx.set_global(Limit(7))?;
        cx.focus("MAIN")?;
        Ok(())
    }
    assert_eq!(
        written(&inserts::definition()),
        [
            "makes Order",
            "makes Hold",
            "makes Armed",
            "makes Shape",
            "makes Shape",
            "makes Hold@east",
            "derives Hold",
            &format!("emits {}", Tell::TOPIC),
            "sets Limit",
        ]
    );
}

#[test]
fn variables_are_followed_to_what_they_were_bound_to() {
    #[rule]
    fn follows(
        o: &Order,
        #[cross]
        #[from("west")]
        h: Ref<Hold>,
        cx: &mut Then,
    ) -> RuleResult {
        let hold = Hold(o.id);
        let copy = o.clone();
        let typed: Shape = make_shape();
        let first = cx.insert(hold)?;
        cx.insert(copy)?;
        cx.insert(typed)?;
        cx.delete(first)?;
        cx.update(h, |hold| hold.0 += 1)?;
        cx.modify(h, |h| h.0 += 1)?;
        cx.scope(|inner| {
            inner.delete(h.handle())?;
            Err::<(), _>(RuleError::new("no"))
        })
        .ok();
        cx.delete::<Shape>(known())?;
        Ok(())
    }
    assert_eq!(
        written(&follows::definition()),
        [
            "makes Hold",
            "makes Order",
            "makes Shape",
            "updates Hold@west",
            "updates Hold@west",
            "deletes Hold",
            "deletes Hold@west",
            "deletes Shape",
        ]
    );
}

fn make_shape() -> Shape {
    Shape::Point(1)
}

fn known() -> Handle<Shape> {
    unreachable!("the rule is not run")
}

fn helper(stage: &mut Stage<'_>) -> RuleResult {
    stage.insert(Armed)?;
    Ok(())
}

#[test]
fn what_is_not_certain_is_unseen() {
    #[rule]
    fn hands_on(_o: &Order, cx: &mut Then) -> RuleResult {
        helper(cx)
    }
    #[rule]
    fn of_a_call(_o: &Order, cx: &mut Then) -> RuleResult {
        cx.insert(make_shape())?;
        Ok(())
    }
    #[rule]
    fn through_a_variable(_o: &Order, cx: &mut Then) -> RuleResult {
        let mut east = cx.entry("east");
        east.insert(Armed)?;
        Ok(())
    }
    #[rule]
    fn in_a_macro(_o: &Order, cx: &mut Then) -> RuleResult {
        assert_eq!(cx.insert(Armed)?, cx.insert(Armed)?);
        Ok(())
    }
    #[rule]
    fn of_a_type_of_its_own(_o: &Order, cx: &mut Then) -> RuleResult {
        #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
        struct Inner(u64);
        cx.insert(Inner(1))?;
        Ok(())
    }
    #[rule]
    fn hidden(o: Ref<Order>, cx: &mut Then) -> RuleResult {
        for o in [o.handle(), o.handle()] {
            cx.delete(o)?;
        }
        Ok(())
    }
    #[rule]
    fn conditional(_o: &Order, cx: &mut Then) -> RuleResult {
        #[cfg(any())]
        cx.insert(Missing { id: 1 })?;
        cx.insert(Armed)?;
        Ok(())
    }
    for rule in [
        hands_on::definition(),
        of_a_call::definition(),
        through_a_variable::definition(),
        in_a_macro::definition(),
        of_a_type_of_its_own::definition(),
        hidden::definition(),
        conditional::definition(),
    ] {
        assert_eq!(written(&rule), ["and more"], "{}", rule.path);
    }
}

#[test]
fn what_is_declared_stands_for_what_is_unseen() {
    #[rule(logical)]
    fn either(
        #[or(o.open)]
        #[or(o.id > 3)]
        o: &Order,
        cx: &mut Then,
    ) -> Hold {
        let now = cx.now().unsigned_abs();
        Hold(o.id + now)
    }
    #[rule(writes(Armed, Hold from "east"))]
    fn declared(o: Ref<Order>, cx: &mut Then) -> RuleResult {
        helper(cx)?;
        cx.modify(o, |o| o.open = false)
    }
    assert_eq!(
        written(&declared::definition()),
        ["updates Order", "changes Armed", "changes Hold@east"]
    );
    // What a branch of an `or` writes its rule does.
    assert_eq!(written(&either::definition()), ["derives Hold"]);
    assert_eq!(written(&either::definition().branches[0]), [""; 0]);
}

//! What changes the digests of a rule, and what does not.

use steadfast::ir::{Having, Query, Rule, RuleDef};
use steadfast::{Group, Ref, RuleResult, Then};
use steadfast_macros::{query, rule};

use crate::shop::{Line, Order, Payment};

// Each of the other rules differs from this one in what its name says.
#[rule(salience = 3)]
fn original(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

/// Documented.
#[rustfmt::skip]
#[rule(salience=3,)]
fn spaced_and_commented(
    // A comment.
    o: & Order,
    #[when(
        p.order==o.id/* why */&&p.amount>3
    )]
    p: &Payment,
    #[group_by(l.order,)] #[aggregate(sum(l.quantity),)] g: Group<Line,u64,(i64,),>,
    #[having(g.0>3)]_h:Having,cx:&mut Then)->RuleResult{
    // Another one.
    if o.id>3 {
        cx.halt();
    }
    Ok(
        (),
    )
}

#[rule(salience = 3)]
fn condition_in_two_attributes(
    o: &Order,
    #[when(p.order == o.id)]
    #[when(p.amount > 3)]
    p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = -3)]
fn other_salience(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn other_condition(
    o: &Order,
    #[when(p.order == o.id && p.amount > 4)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn other_having(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 4)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn other_function(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(max(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn watching(
    #[watch(amount)] o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn by_handle_and_reference(
    o: Ref<Order>,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: &Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3)]
fn other_body(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 4 {
        cx.halt();
    }
    Ok(())
}

#[rule(salience = 3, on_error = "skip")]
fn skipping(
    o: &Order,
    #[when(p.order == o.id && p.amount > 3)] p: &Payment,
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 3)] _h: Having,
    cx: &mut Then,
) -> RuleResult {
    if o.id > 3 {
        cx.halt();
    }
    Ok(())
}

/// What a rule says of its turn on the agenda decides when it fires.
#[test]
fn digests_follow_the_turn_on_the_agenda() {
    macro_rules! rules {
        ($($o:ident [$($args:tt)*])*) => {
            [$({
                #[rule($($args)*)]
                fn turn(#[when($o.id > 0)] $o: &Order) {}
                turn::definition().conditions_digest
            }),*]
        };
    }
    let [plain, main, others @ ..] = rules! {
        o [] o [group = "MAIN"] o [group = "a"] o [group = "b"] o [auto_focus]
        o [lock_on_active] o [no_loop] o [activation_group = "a"] o [enabled = o.id > 3]
        o [enabled = o.id > 4]
    };
    assert_eq!(plain, main);
    let mut all = vec![plain];
    for digest in others {
        assert!(!all.contains(&digest));
        all.push(digest);
    }
}

/// Which digests differ from the original's.
fn changed(rule: &RuleDef) -> &'static str {
    let original = original::definition();
    let conditions = rule.conditions_digest != original.conditions_digest;
    let consequence = rule.consequence_digest != original.consequence_digest;
    match (conditions, consequence) {
        (false, false) => "neither",
        (true, false) => "conditions",
        (false, true) => "consequence",
        (true, true) => "both",
    }
}

#[test]
fn digests_follow_what_a_rule_says() {
    let table = [
        (original::definition(), "neither"),
        (spaced_and_commented::definition(), "neither"),
        (condition_in_two_attributes::definition(), "neither"),
        (other_salience::definition(), "conditions"),
        (other_condition::definition(), "conditions"),
        (other_having::definition(), "conditions"),
        (other_function::definition(), "conditions"),
        (watching::definition(), "conditions"),
        (by_handle_and_reference::definition(), "consequence"),
        (other_body::definition(), "consequence"),
        (skipping::definition(), "consequence"),
    ];
    for (rule, expected) in table {
        assert_eq!(changed(&rule), expected, "{}", rule.path);
    }
}

#[test]
fn digests_are_the_same_in_every_build() {
    #[query]
    fn ids(#[when(o.amount > 3)] o: &Order) -> u64 {
        o.id
    }
    let query = ids::definition();
    let digests = [query.conditions_digest, query.consequence_digest];
    let expected = ["da355082397e3387fdb5b4d47b5d515d", "e958e8c168a17440ca67e2207f3d66a5"];
    assert_eq!(digests.map(|digest| digest.to_string()), expected);
}

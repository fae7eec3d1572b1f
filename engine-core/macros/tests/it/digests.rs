//! What changes the digests of a rule, and what does not.

use steadfast::ir::{Query, Rule, RuleDef};

use crate::shop;

/// Declares each rule in a module of its own, so that all can have one name.
macro_rules! variants {
    ($($module:ident { $($rule:tt)* })*) => {
        $(
            mod $module {
                #[allow(unused_imports, reason = "each variant needs some of them")]
                use crate::shop::{Line, Order, Payment, Status};
                #[allow(unused_imports, reason = "each variant needs some of them")]
                use steadfast::{Group, Ref, RuleResult, Then, ir::{Absent, Exists, Having}};
                use steadfast_macros::rule;

                $($rule)*
            }
        )*
    };
}

variants! {
    original {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    spaced_and_commented {
        /// Documented.
        #[rule(salience=3,)]
        pub(super) fn subject(
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
                ()
            )
        }
    }
    condition_in_two_attributes {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id)] #[when(p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    other_salience {
        #[rule(salience = -3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    other_condition {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 4)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    other_having {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 4)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    other_function {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(max(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    watching {
        #[rule(salience = 3)]
        pub(super) fn subject(
            #[watch(amount)] o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    by_handle_and_reference {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: Ref<Order>,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: &Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
    other_body {
        #[rule(salience = 3)]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 4 { cx.halt(); }
            Ok(())
        }
    }
    skipping {
        #[rule(salience = 3, on_error = "skip")]
        pub(super) fn subject(
            o: &Order,
            #[when(p.order == o.id && p.amount > 3)] p: &Payment,
            #[group_by(l.order)] #[aggregate(sum(l.quantity))] g: Group<Line, u64, (i64,)>,
            #[having(g.0 > 3)] _h: Having,
            cx: &mut Then,
        ) -> RuleResult {
            if o.id > 3 { cx.halt(); }
            Ok(())
        }
    }
}

/// Which digests differ from the original's.
fn changed(rule: &RuleDef) -> &'static str {
    let original = original::subject::definition();
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
        (original::subject::definition(), "neither"),
        (spaced_and_commented::subject::definition(), "neither"),
        (
            condition_in_two_attributes::subject::definition(),
            "neither",
        ),
        (other_salience::subject::definition(), "conditions"),
        (other_condition::subject::definition(), "conditions"),
        (other_having::subject::definition(), "conditions"),
        (other_function::subject::definition(), "conditions"),
        (watching::subject::definition(), "conditions"),
        (
            by_handle_and_reference::subject::definition(),
            "consequence",
        ),
        (other_body::subject::definition(), "consequence"),
        (skipping::subject::definition(), "consequence"),
    ];
    for (rule, expected) in table {
        assert_eq!(changed(&rule), expected, "{}", rule.path);
    }
}

#[test]
fn digests_are_the_same_in_every_build() {
    #[steadfast_macros::query]
    fn ids(#[when(o.amount > 3)] o: &shop::Order) -> u64 {
        o.id
    }
    let query = ids::definition();
    let digests = [query.conditions_digest, query.consequence_digest];
    let expected = [
        "1cac975280284946348fdb6ff518b98c",
        "e958e8c168a17440ca67e2207f3d66a5",
    ];
    assert_eq!(digests.map(|digest| digest.to_string()), expected);
}

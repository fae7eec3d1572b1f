//! SF0001 and SF0002: rulesets that are not valid, and rules that changed since the journal was
//! written.

use std::path::PathBuf;

use steadfast::ir::RuleBuilder;
use steadfast::prelude::*;
use steadfast::{Digest, Ruleset};

use super::{files, report};
use crate::support::{Disk, durable, fire, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Big {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Small {
    order: u64,
}

#[test]
fn sf0001_a_ruleset_that_is_not_valid_opens_nothing() {
    #[rule]
    fn big(_o: &Order) {}
    ruleset!(twice = 1: big, big);
    let namesakes = || {
        #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
        #[fact(rename = "Order")]
        struct Other {
            id: u64,
        }
        twice_named().fact::<Other>()
    };
    ruleset!(twice_named = 1: big);
    let empty =
        || Ruleset::new("empty", 1).rule(RuleBuilder::new("it::nothing").then(|_, _| Ok(())));
    let cases = [
        (
            twice(),
            "error SF0001: the ruleset is not valid
  ruleset `twice` has two rules `it::errors::rules::big`: give one of them another name or module
  help: correct the ruleset",
        ),
        (
            namesakes(),
            "error SF0001: the ruleset is not valid
  ruleset `twice_named` has two fact types named `Order`: add #[fact(rename = \"…\")] to one
  help: correct the ruleset",
        ),
        (
            empty(),
            "error SF0001: the ruleset is not valid
  rule `it::nothing` has no pattern: add one, or a `not`, or insert its facts yourself
  help: correct the ruleset",
        ),
    ];
    for (rules, expected) in cases {
        let disk = Disk::new();
        assert_eq!(report(&Session::memory(rules.clone()).unwrap_err(), &disk), expected);
        assert_eq!(report(&disk.try_open(rules).unwrap_err(), &disk), expected);
        assert!(!disk.path().exists(), "nothing was made");
    }
}

/// The rules that the sessions of these tests begin with.
fn old() -> Ruleset {
    #[rule(logical)]
    fn big(#[when(o.amount > 100)] o: &Order) -> Big {
        say(format!("big {}", o.id));
        Big { order: o.id }
    }
    #[rule(logical)]
    fn small(#[when(o.amount <= 100)] o: &Order) -> Small {
        say(format!("small {}", o.id));
        Small { order: o.id }
    }
    ruleset!(shop = 1: big, small);
    shop()
}

/// `big` has another limit.
fn other_conditions() -> Ruleset {
    #[rule(logical)]
    fn big(#[when(o.amount > 50)] o: &Order) -> Big {
        say(format!("big {}", o.id));
        Big { order: o.id }
    }
    #[rule(logical)]
    fn small(#[when(o.amount <= 100)] o: &Order) -> Small {
        say(format!("small {}", o.id));
        Small { order: o.id }
    }
    ruleset!(shop = 1: big, small);
    shop()
}

/// `small` says something else.
fn other_consequence() -> Ruleset {
    #[rule(logical)]
    fn big(#[when(o.amount > 100)] o: &Order) -> Big {
        say(format!("big {}", o.id));
        Big { order: o.id }
    }
    #[rule(logical)]
    fn small(#[when(o.amount <= 100)] o: &Order) -> Small {
        say(format!("little {}", o.id));
        Small { order: o.id }
    }
    ruleset!(shop = 1: big, small);
    shop()
}

/// `small` is gone, and `any` is new; the facts that `small` derived are still known.
fn other_rules() -> Ruleset {
    #[rule(logical)]
    fn big(#[when(o.amount > 100)] o: &Order) -> Big {
        say(format!("big {}", o.id));
        Big { order: o.id }
    }
    #[rule(salience = 1)]
    fn any(o: &Order) {
        say(format!("any {}", o.id));
    }
    ruleset!(shop = 1: big, any; facts: Small);
    shop()
}

/// `big` has fired for order 1 and waits for order 4, `small` has fired for orders 2 and 3.
fn session() -> Disk {
    let disk = Disk::new();
    let mut session = disk.open(old());
    for (id, amount) in [(1, 500), (2, 70), (3, 10)] {
        session.insert(Order { id, amount }).unwrap();
    }
    assert_eq!(fire(&mut session), ["big 1", "small 2", "small 3"]);
    session.insert(Order { id: 4, amount: 200 }).unwrap();
    session.flush().unwrap();
    disk
}

fn derived(session: &mut Session) -> (Vec<u64>, Vec<u64>) {
    let big = session.query::<Big>().unwrap().iter().map(|big| big.order).collect();
    let small = session.query::<Small>().unwrap().iter().map(|small| small.order).collect();
    (big, small)
}

#[test]
fn sf0002_changed_rules_are_refused_unless_the_caller_chooses_what_that_means() {
    fn renumbered() -> Ruleset {
        old().rules().iter().cloned().fold(Ruleset::new("shop", 2), Ruleset::rule)
    }
    fn reordered() -> Ruleset {
        old().rules().iter().rev().cloned().fold(Ruleset::new("shop", 1), Ruleset::rule)
    }
    type Case = (fn() -> Ruleset, &'static str);
    let cases: [Case; 5] = [
        (other_conditions, "the conditions of rule `it::errors::rules::big` changed"),
        (other_consequence, "the consequence of rule `it::errors::rules::small` changed"),
        (other_rules, "rule `it::errors::rules::any` is new"),
        (renumbered, "the ruleset is `shop` 2, was `shop` 1"),
        (reordered, "the order of the rules changed at `it::errors::rules::small`"),
    ];
    let disk = session();
    let digest = disk.open(old()).digest();
    for (rules, change) in cases {
        let before = segments(&disk);
        let error = disk.try_open(rules()).unwrap_err();
        let expected = format!(
            "error SF0002: the session could not be recovered
  the ruleset has changed: {change}; choose a policy (Reevaluate or KeepFired) or open with the old rules
  help: open with the journal's rules, or choose RulesPolicy::Reevaluate or ::KeepFired"
        );
        assert_eq!(report(&error, &disk), expected);
        assert_eq!(segments(&disk), before, "a refusal changes no record");
    }
    let mut session = disk.open(old());
    assert_eq!(session.digest(), digest, "a refusal changes nothing");
    assert_eq!(fire(&mut session), ["big 4"]);
}

/// The journal's segments with their bytes.
fn segments(disk: &Disk) -> Vec<(PathBuf, Vec<u8>)> {
    let is_segment = |file: &PathBuf| file.extension().is_some_and(|is| is == "jnl");
    files(&disk.path()).into_iter().filter(|(file, _)| is_segment(file)).collect()
}

/// Opens a copy of a session under other rules; also checks that the change is made once.
fn changed(disk: &Disk, rules: fn() -> Ruleset, policy: RulesPolicy) -> Session {
    let disk = disk.crash();
    let open = |policy| durable(&disk.path()).on_changed_rules(policy).open(rules()).unwrap();
    let session = open(policy);
    let digest = session.digest();
    drop(session);
    let session = open(RulesPolicy::Reject);
    assert_eq!(session.digest(), digest);
    assert!(said().is_empty(), "nothing fires for a change of the rules alone");
    session
}

#[test]
fn reevaluate_fires_all_matches_of_rules_whose_conditions_changed() {
    let mut session = changed(&session(), other_conditions, RulesPolicy::Reevaluate);
    // By the operation that changed the rules, and so in the order of the facts.
    assert_eq!(fire(&mut session), ["big 1", "big 2", "big 4"]);
    assert_eq!(derived(&mut session), (vec![1, 2, 4], vec![2, 3]));
}

#[test]
fn keep_fired_leaves_what_waits_waiting_and_all_else_dormant() {
    let mut session = changed(&session(), other_conditions, RulesPolicy::KeepFired);
    // Order 2 matches now and is dormant although it never fired: that is what the policy says.
    assert_eq!(fire(&mut session), ["big 4"]);
    assert_eq!(derived(&mut session), (vec![1, 4], vec![2, 3]));
    let two = session.query::<Order>().unwrap()[1].handle();
    session.update(two, |o| o.amount = 71).unwrap();
    assert_eq!(fire(&mut session), ["big 2", "small 2"]);
}

#[test]
fn a_changed_consequence_fires_nothing_and_holds_from_the_next_firing_on() {
    for policy in [RulesPolicy::Reevaluate, RulesPolicy::KeepFired] {
        let mut session = changed(&session(), other_consequence, policy);
        assert_eq!(fire(&mut session), ["big 4"]);
        assert_eq!(derived(&mut session), (vec![1, 4], vec![2, 3]));
        session.insert(Order { id: 5, amount: 5 }).unwrap();
        assert_eq!(fire(&mut session), ["little 5"]);
    }
}

#[test]
fn a_new_rule_fires_for_everything_there_is_and_a_removed_one_takes_its_supports_with_it() {
    for policy in [RulesPolicy::Reevaluate, RulesPolicy::KeepFired] {
        let mut session = changed(&session(), other_rules, policy);
        // The facts that only `small` supported went with the change of the rules.
        assert_eq!(derived(&mut session), (vec![1], vec![]));
        assert_eq!(fire(&mut session), ["any 1", "any 2", "any 3", "any 4", "big 4"]);
    }
}

/// Conditions that hold for fewer facts than before.
fn narrower() -> Ruleset {
    #[rule(logical)]
    fn big(#[when(o.amount > 1000)] o: &Order) -> Big {
        say(format!("big {}", o.id));
        Big { order: o.id }
    }
    ruleset!(shop = 1: big; facts: Small);
    shop()
}

#[test]
fn matches_that_the_new_conditions_do_not_hold_for_lose_their_turn_and_their_supports() {
    for policy in [RulesPolicy::Reevaluate, RulesPolicy::KeepFired] {
        let mut session = changed(&session(), narrower, policy);
        assert_eq!(derived(&mut session), (vec![], vec![]));
        assert!(fire(&mut session).is_empty());
        assert_eq!(session.fact_count(), 4);
    }
}

#[test]
fn operations_that_are_staged_when_the_rules_change_are_matched_by_the_new_ones() {
    let disk = session();
    let mut session = disk.open(old());
    session.insert(Order { id: 5, amount: 60 }).unwrap();
    drop(session);
    let mut session = changed(&disk, other_conditions, RulesPolicy::KeepFired);
    assert_eq!(fire(&mut session), ["big 4", "big 5", "small 5"]);
}

#[test]
fn a_change_of_rules_back_and_forth_ends_where_it_began() {
    let disk = session();
    let open = |rules: Ruleset| {
        durable(&disk.path()).on_changed_rules(RulesPolicy::KeepFired).open(rules).unwrap()
    };
    let facts = |session: &mut Session| (derived(session), session.pending().len());
    let before = facts(&mut disk.open(old()));
    drop(open(other_consequence()));
    let mut session = open(old());
    assert_eq!(facts(&mut session), before);
    assert_eq!(fire(&mut session), ["big 4"]);
    let _: Digest = session.digest();
}

#[test]
fn queries_and_further_fact_types_are_no_change_of_the_rules() {
    #[query]
    fn all(o: &Order) -> u64 {
        o.id
    }
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Note(String);
    let disk = session();
    let digest = disk.open(old()).digest();
    let mut session =
        disk.open(old().query(<all as steadfast::ir::Query>::definition()).fact::<Note>());
    assert_eq!(session.digest(), digest);
    assert_eq!(session.rows::<all>().unwrap(), [1, 2, 3, 4]);
    session.insert(Note("new".to_owned())).unwrap();
    assert_eq!(fire(&mut session), ["big 4"]);
}

#[test]
fn a_session_that_was_never_evaluated_takes_other_rules_like_its_first() {
    for policy in [RulesPolicy::Reevaluate, RulesPolicy::KeepFired] {
        let disk = Disk::new();
        disk.open(old()).insert(Order { id: 1, amount: 70 }).unwrap();
        let mut session = changed(&disk, other_conditions, policy);
        assert_eq!(fire(&mut session), ["big 1", "small 1"], "{policy:?}");
    }
}

//! S93, S95 and S103: rules that come and go, and answers about rules and facts.

use steadfast::Outcome;
use steadfast::ir::{Rule, RuleBuilder, RuleDef};
use steadfast::prelude::*;

use crate::support::{fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    order: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Block {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Paid {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Shipped {
    order: u64,
}

#[rule(logical)]
fn paid(
    #[when(o.amount > 0)] o: &Order,
    #[when(p.order == o.id && p.amount >= o.amount)] p: &Payment,
    #[not(b.order == o.id)] b: Absent<Block>,
) -> Paid {
    say(format!("paid {}", o.id));
    Paid { order: o.id }
}

#[rule(logical)]
fn shipped(p: &Paid) -> Shipped {
    say(format!("shipped {}", p.order));
    Shipped { order: p.order }
}

ruleset!(shop = 1: paid; facts: Shipped);

fn loaded() -> Session {
    let mut session = memory(shop());
    for id in 1..=3 {
        session.insert(Order { id, amount: 10 }).unwrap();
        session.insert(Payment { order: id, amount: 10 }).unwrap();
    }
    session
}

#[test]
fn s103_all_matches_of_an_added_rule_are_pending_in_the_order_of_their_facts() {
    let mut session = loaded();
    fire(&mut session);
    session.insert(Order { id: 4, amount: 10 }).unwrap();
    session.insert(Payment { order: 4, amount: 10 }).unwrap();
    session.add_rule(&shipped::definition()).unwrap();
    let triggers: Vec<u64> =
        session.pending().iter().skip(1).map(|pending| pending.trigger.get()).collect();
    // What was staged was evaluated before; the rule's operation is the last one.
    assert_eq!(triggers, [session.engine().counters().next_seq - 1; 3]);
    assert!(said().is_empty(), "nothing fires for it");
    assert_eq!(fire(&mut session), ["paid 4", "shipped 1", "shipped 2", "shipped 3", "shipped 4"]);
    let payment = session.query::<Payment>().unwrap()[0].handle();
    session.delete(payment).unwrap();
    assert_eq!(session.query::<Shipped>().unwrap().len(), 3, "it is as good as any other rule");
}

#[test]
fn s103_a_rule_is_added_to_a_session_that_was_never_evaluated() {
    let mut session = loaded();
    session.add_rule(&shipped::definition()).unwrap();
    assert!(session.pending().is_empty());
    assert_eq!(fire(&mut session).len(), 6);
}

#[test]
fn s93_what_only_a_removed_rule_supported_falls_with_it_and_its_matches_do_not_fire() {
    let mut session = loaded();
    session.add_rule(&shipped::definition()).unwrap();
    fire(&mut session);
    let stated = session.query::<Paid>().unwrap()[2].handle();
    session.insert(Paid { order: 3 }).unwrap();
    session.insert(Order { id: 4, amount: 10 }).unwrap();
    session.insert(Payment { order: 4, amount: 10 }).unwrap();
    session.flush().unwrap();
    assert_eq!(session.pending().len(), 1);
    session.remove_rule(&paid::definition().path).unwrap();
    assert!(session.pending().is_empty());
    let left: Vec<Handle<Paid>> =
        session.query::<Paid>().unwrap().iter().map(Ref::handle).collect();
    assert_eq!(left, [stated]);
    assert_eq!(session.query::<Shipped>().unwrap().len(), 1, "so does what stood on that");
    assert!(fire(&mut session).is_empty());
    // The other rule has moved up and works.
    session.insert(Paid { order: 9 }).unwrap();
    assert_eq!(fire(&mut session), ["shipped 9"]);
    session.add_rule(&paid::definition()).unwrap();
    // It is behind the other one now.
    let expected = ["paid 1", "shipped 1", "paid 2", "shipped 2", "paid 3", "paid 4", "shipped 4"];
    assert_eq!(fire(&mut session), expected);
}

#[test]
fn s103_a_rule_with_a_new_type_may_come_and_a_rule_twice_may_not() {
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Note {
        text: String,
    }
    fn noting(path: &str) -> RuleDef {
        let mut rule = RuleBuilder::new(path);
        let note = rule.each::<Note>("n");
        rule.then(move |row, _| {
            say(note.of(row).text.clone());
            Ok(())
        })
    }
    let mut session = memory(shop());
    session.insert(Note { text: "early".into() }).unwrap_err();
    session.add_rule(&noting("noting")).unwrap();
    session.insert(Note { text: "hello".into() }).unwrap();
    assert_eq!(fire(&mut session), ["hello"]);
    let error = session.add_rule(&noting("noting")).unwrap_err();
    assert_eq!(error.code(), "SF0001");
    let error = session.remove_rule("nothing").unwrap_err();
    assert_eq!(
        (error.code(), error.to_string()),
        ("SF0022", "the ruleset has no rule `nothing`".into())
    );
    assert_eq!(session.engine().rule_paths(), [paid::definition().path.as_str(), "noting"]);
    session.insert(Note { text: "still".into() }).unwrap();
    assert_eq!(fire(&mut session), ["still"], "what was refused changed nothing");
}

#[test]
fn s95_why_names_the_statement_and_every_match_that_derives_a_fact() {
    let mut session = loaded();
    session.insert(Payment { order: 1, amount: 50 }).unwrap();
    fire(&mut session);
    let derived = session.query::<Paid>().unwrap()[0].handle();
    let path = paid::definition().path;
    let why = session.why(derived).unwrap().unwrap();
    assert_eq!(
        why.to_string(),
        format!(
            "Paid {derived}
  is derived by {path} from o: Order f#1, p: Payment f#2
  is derived by {path} from o: Order f#1, p: Payment f#7",
            derived = derived.fact()
        )
    );
    session.insert(Paid { order: 1 }).unwrap();
    assert!(session.why(derived).unwrap().unwrap().stated);
    let payment = session.query::<Payment>().unwrap()[0].handle();
    session.delete(payment).unwrap();
    assert_eq!(session.why(derived).unwrap().unwrap().supports.len(), 1, "it flushes first");
    assert_eq!(session.why(payment).unwrap(), None, "it is gone");
}

#[test]
fn s95_why_not_names_the_first_condition_that_fails_for_each_pattern() {
    let mut session = memory(shop());
    let order = session.insert(Order { id: 1, amount: 10 }).unwrap().fact();
    let little = session.insert(Payment { order: 1, amount: 5 }).unwrap().fact();
    let other = session.insert(Payment { order: 2, amount: 5 }).unwrap().fact();
    let path = paid::definition().path;
    let text = |session: &mut Session, facts: &[steadfast::FactHandle]| {
        let answer = session.why_not::<paid>(facts).unwrap().to_string();
        answer.strip_prefix(&path).unwrap().to_owned()
    };
    assert_eq!(
        text(&mut session, &[order, little]),
        " does not match
  o: Order f#1 holds
  p: Payment f#2 fails at `p.amount >= o.amount`
  not b: Block holds"
    );
    assert_eq!(
        text(&mut session, &[order, other]),
        " does not match
  o: Order f#1 holds
  p: Payment f#3 fails at `p.order == o.id`
  not b: Block holds"
    );
    // Of all payments, the one that comes farthest.
    assert_eq!(text(&mut session, &[order]), text(&mut session, &[order, little]));
    session.insert(Block { order: 1 }).unwrap();
    let whole = session.insert(Payment { order: 1, amount: 10 }).unwrap();
    assert_eq!(
        text(&mut session, &[order, whole.fact()]),
        " does not match
  o: Order f#1 holds
  p: Payment f#5 holds
  not b: Block is blocked by Block f#4"
    );
    let block = session.query::<Block>().unwrap()[0].handle();
    session.delete(block).unwrap();
    let answer = session.why_not::<paid>(&[]).unwrap();
    assert!(answer.matches && answer.pending, "{answer}");
    fire(&mut session);
    assert!(session.why_not::<paid>(&[order]).unwrap().to_string().contains("has fired"));
    session.update(whole, |p| p.order = 7).unwrap();
    let zero = session.insert(Order { id: 7, amount: 0 }).unwrap().fact();
    // What is behind a pattern that failed is judged with its fact all the same.
    assert_eq!(
        text(&mut session, &[zero]),
        " does not match
  o: Order f#7 fails at `o.amount > 0`
  p: Payment f#5 holds
  not b: Block holds"
    );
}

#[test]
fn s95_why_not_looks_into_groups_and_says_when_there_is_nobody_to_ask() {
    #[rule]
    fn busy(
        b: &Block,
        #[group_by(p.order)]
        #[aggregate(count(), sum(p.amount))]
        #[when(p.order == b.order)]
        g: Group<Payment, u64, (u64, i64)>,
        #[having(g.0 > 1 && g.1 > 10)] _h: Having,
    ) {
    }
    ruleset!(business = 1: busy);
    let mut session = memory(business());
    let outcomes = |session: &mut Session| {
        let answer = session.why_not::<busy>(&[]).unwrap();
        let judgements = answer.branches.into_iter().flatten();
        judgements.map(|judgement| judgement.outcome).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&mut session), [Outcome::NoCandidate, Outcome::NotAsked]);
    session.insert(Block { order: 1 }).unwrap();
    assert_eq!(outcomes(&mut session)[1], Outcome::NoCandidate);
    session.insert(Payment { order: 1, amount: 4 }).unwrap();
    session.insert(Payment { order: 1, amount: 5 }).unwrap();
    let fails = |condition: &str| Outcome::Fails { fact: None, condition: condition.to_owned() };
    assert_eq!(outcomes(&mut session)[1], fails("g.1 > 10"));
    session.insert(Payment { order: 1, amount: 2 }).unwrap();
    assert_eq!(outcomes(&mut session)[1], Outcome::Holds(None));
}

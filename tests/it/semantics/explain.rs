//! Pictures of rules, and what is probably not meant in them.

use steadfast::ir::{Access, Rule, RuleBuilder, RuleDef, Warning};
use steadfast::prelude::*;
use steadfast::{Query, Ruleset};

use crate::support::{fire, memory};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Block {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Ready {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Audit {
    order: u64,
}

#[rule(logical, salience = 10)]
fn ready(#[when(o.amount > 0)] o: &Order, #[not(b.order == o.id)] b: Absent<Block>) -> Ready {
    Ready { order: o.id }
}

#[rule]
fn ship(r: &Ready, #[exists(o.id == r.order)] o: Exists<Order>) {}

#[query]
fn blocked(#[when(b.order != 0)] b: &Block) -> u64 {
    b.order
}

/// The path without the module, so that pictures are the same wherever the test stands.
fn named(path: &str, mut rule: RuleDef) -> RuleDef {
    path.clone_into(&mut rule.path);
    rule
}

fn shop() -> Ruleset {
    Ruleset::new("shop", 1)
        .rule(named("ready", ready::definition()))
        .rule(named("ship", ship::definition()))
        .query(named("blocked", blocked::definition()))
}

fn texts(rules: &Ruleset) -> Vec<String> {
    rules.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn the_impact_graph_says_which_rule_writes_what_which_rule_reads() {
    let audit = RuleBuilder::new("audit").makes::<Audit>();
    let audit = {
        let mut audit = audit;
        audit.each::<Ready>("r");
        audit.then(|_, _| Ok(()))
    };
    let impact = shop().rule(audit).impact();
    let links: Vec<_> = impact.links().iter().map(|it| (&*it.rule, it.access, &*it.name)).collect();
    assert_eq!(
        links,
        [
            ("ready", Access::Reads, "Order"),
            ("ready", Access::ReadsAbsence, "Block"),
            ("ready", Access::Derives, "Ready"),
            ("ship", Access::Reads, "Order"),
            ("ship", Access::Reads, "Ready"),
            ("audit", Access::Reads, "Ready"),
            ("audit", Access::Makes, "Audit"),
            ("blocked", Access::Reads, "Block"),
        ]
    );
    assert_eq!(impact.affected_by("ready"), ["ship", "audit"]);
    assert!(impact.affected_by("audit").is_empty() && impact.affected_by("nowhere").is_empty());
    let dot = shop().impact().to_dot();
    assert_eq!(
        dot,
        r#"digraph {
  n0 [shape=box, label="ready"];
  n1 [shape=ellipse, label="Order"];
  n2 [shape=ellipse, label="Block"];
  n3 [shape=ellipse, label="Ready"];
  n4 [shape=box, label="ship"];
  n5 [shape=box, label="blocked"];
  n1 -> n0;
  n2 -> n0 [label="not"];
  n0 -> n3 [label="derives"];
  n1 -> n4;
  n3 -> n4;
  n2 -> n5;
}
"#
    );
    assert!(shop().impact().to_mermaid().ends_with("  n3 --> n4\n  n2 --> n5\n"));
}

#[test]
fn a_rule_that_derives_what_it_must_not_find_is_warned_of() {
    #[rule(logical)]
    fn block(o: &Order, #[not(b.order == o.id)] b: Absent<Block>) -> Block {
        Block { order: o.id }
    }
    let rules = Ruleset::new("shop", 1).rule(named("block", block::definition()));
    let (rule, fact) = ("block".to_owned(), "Block".to_owned());
    assert_eq!(rules.warnings(), [Warning::CancelsItself { rule, fact }]);
    assert_eq!(
        texts(&rules),
        [
            "rule `block` derives `Block` and needs that there is no `Block`: what it derives may end \
          the match that derives it, again and again; derive another type, or insert the fact instead \
          of deriving it"
        ]
    );
    assert!(rules.check().is_ok(), "it is no error");

    // Inserting is the usual way to have one of each.
    let mut insert = RuleBuilder::new("insert").makes::<Block>();
    insert.not::<Block>("b");
    let insert = insert.then(|_, _| Ok(()));
    assert_eq!(Ruleset::new("shop", 1).rule(insert).warnings(), []);
    assert_eq!(shop().warnings(), [], "nobody derives a Block");
}

#[test]
fn a_forall_over_what_its_rule_derives_is_warned_of_and_its_second_half_is_not() {
    #[rule(logical)]
    fn counts(
        #[forall(a: Audit, a.order > 0; b: Block, b.order == a.order)] _all: Forall<(Audit, Block)>,
    ) -> Audit {
        Audit { order: 0 }
    }
    #[rule(logical)]
    fn holds(
        #[forall(a: Audit, a.order > 0; b: Block, b.order == a.order)] _all: Forall<(Audit, Block)>,
    ) -> Block {
        Block { order: 0 }
    }
    let one = |rule| Ruleset::new("shop", 1).rule(rule).warnings();
    let (rule, fact) = ("counts".to_owned(), "Audit".to_owned());
    let warnings = one(named("counts", counts::definition()));
    assert_eq!(warnings, [Warning::CancelsItself { rule, fact }]);
    assert_eq!(one(named("holds", holds::definition())), []);
}

#[test]
fn a_circle_of_derivations_through_a_negation_is_warned_of() {
    #[rule(logical)]
    fn audit(r: &Ready) -> Audit {
        Audit { order: r.order }
    }
    #[rule(logical)]
    fn block(a: &Audit) -> Block {
        Block { order: a.order }
    }
    let rules =
        shop().rule(named("audit", audit::definition())).rule(named("block", block::definition()));
    assert_eq!(
        texts(&rules),
        [
            "rule `ready` needs that there is no `Block`, which is derived from what it derives, by way of \
          `audit`, `block`: what holds depends on the order of firings; take the negation out of the \
          circle, or insert one of the facts instead of deriving it"
        ]
    );
    let open = shop().rule(named("block", block::definition()));
    assert_eq!(open.warnings(), [], "nothing leads from Ready to Block");
}

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Shipped {
    order: u64,
}

#[rule]
fn send(r: &Ready, #[when(o.id == r.order)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.modify(o, |o| o.amount = 0)?;
    cx.insert(Audit { order: r.order })?;
    cx.emit(Shipped { order: r.order })?;
    Ok(())
}

#[test]
fn what_the_body_of_a_consequence_writes_is_in_the_impact_graph() {
    #[rule]
    fn sweep(a: Ref<Audit>, cx: &mut Then) -> RuleResult {
        cx.delete(a)?;
        Ok(())
    }
    #[rule]
    fn hands_on(_a: &Audit, cx: &mut Then) -> RuleResult {
        forward(cx)
    }
    fn forward(cx: &mut Then) -> RuleResult {
        cx.insert(Block { order: 1 })?;
        Ok(())
    }
    let rules = shop()
        .rule(named("send", send::definition()))
        .rule(named("sweep", sweep::definition()))
        .rule(named("hands_on", hands_on::definition()));
    let impact = rules.impact();
    let of_send = impact.links().iter().filter(|link| link.rule == "send");
    let of_send: Vec<_> = of_send.map(|link| (link.access, &*link.name)).collect();
    assert_eq!(
        of_send,
        [
            (Access::Reads, "Order"),
            (Access::Reads, "Ready"),
            (Access::Makes, "Audit"),
            (Access::Updates, "Order"),
            (Access::Emits, "Shipped"),
        ]
    );
    assert_eq!(impact.affected_by("send"), ["ready", "ship", "send", "sweep", "hands_on"]);
    assert_eq!(impact.affected_by("sweep"), ["sweep", "hands_on"]);
    assert_eq!(impact.unseen(), ["hands_on"]);
    let mermaid = impact.to_mermaid();
    assert!(mermaid.contains("effect Shipped") && mermaid.contains("emits"), "{mermaid}");
    // What a body inserts, the ruleset knows: nobody has to name it again.
    let mut session = memory(rules);
    session.insert(Order { id: 1, amount: 3 }).unwrap();
    session.fire_all().unwrap();
    assert_eq!(session.query::<Audit>().unwrap().len(), 0);
}

#[test]
fn a_rule_that_updates_what_rules_derive_is_warned_of() {
    #[rule]
    fn correct(r: Ref<Ready>, cx: &mut Then) -> RuleResult {
        cx.modify(r, |r| r.order += 1)
    }
    #[rule]
    fn blocks(o: &Order, #[not(b.order == o.id)] b: Absent<Block>, cx: &mut Then) -> RuleResult {
        cx.insert_logical(Block { order: o.id })?;
        Ok(())
    }
    let rules = shop().rule(named("correct", correct::definition()));
    assert_eq!(
        texts(&rules),
        [
            "rule `correct` updates `Ready`, which `ready` derives: a derived fact cannot be updated until \
          it is stated; let the deriving rule derive another value, or match stated facts only, of a \
          type of their own"
        ]
    );
    // The body derives, so that it is as if the rule were logical.
    let rules = Ruleset::new("shop", 1).rule(named("blocks", blocks::definition()));
    let (rule, fact) = ("blocks".to_owned(), "Block".to_owned());
    assert_eq!(rules.warnings(), [Warning::CancelsItself { rule, fact }]);
}

/// A session whose rules have one level of each sort.
fn drawn() -> Session {
    #[rule]
    fn busy(
        r: &Ready,
        #[group_by(o.id)]
        #[aggregate(sum(o.amount))]
        #[when(o.id == r.order)]
        g: Group<Order, u64, (i64,)>,
        #[having(g.0 > 5)] _h: Having,
        #[forall(a: Audit, a.order == r.order; b: Block, b.order == a.order)] _all: Forall<(
            Audit,
            Block,
        )>,
    ) {
    }
    let busy = named("busy", busy::definition());
    let mut session = memory(shop().rule(busy));
    for id in 1..=3 {
        session.insert(Order { id, amount: 10 }).unwrap();
    }
    session.insert(Block { order: 1 }).unwrap();
    session.flush().unwrap();
    session
}

#[test]
fn the_network_is_drawn_with_its_figures() {
    let mut session = drawn();
    let network = session.network();
    let sums = |network: &steadfast::Network| {
        let rules = network.rules.iter().map(|rule| {
            let of_level = |it: &steadfast::NetworkLevel| (it.facts, it.tuples, it.taken, it.given);
            (rule.rule.clone(), rule.pending, rule.levels.iter().map(of_level).collect::<Vec<_>>())
        });
        rules.collect::<Vec<_>>()
    };
    let (rule, pending, levels) = sums(&network).swap_remove(0);
    assert_eq!((rule.as_str(), pending), ("ready", 2));
    assert_eq!(levels, [(Some(3), 3, 1, 3), (Some(1), 2, 3, 2)]);
    assert_eq!(session.network(), network, "looking changes nothing");

    fire(&mut session);
    let fired = session.network();
    assert_eq!((fired.rules[0].pending, fired.rules[1].levels[0].tuples), (0, 2));
    let (_, _, busy) = sums(&fired).swap_remove(2);
    assert_eq!(
        busy,
        [
            (Some(2), 2, 1, 2),
            (Some(3), 2, 2, 2),
            (None, 2, 2, 2),
            (Some(0), 0, 2, 0),
            (Some(1), 0, 0, 0),
            (None, 2, 0, 2),
        ]
    );
    assert_eq!(drawn().network(), network, "the same work gives the same picture");
}

#[test]
fn the_picture_of_the_network_is_text_for_graphviz_and_mermaid() {
    assert_eq!(
        drawn().network().to_dot(),
        r#"digraph {
  subgraph cluster_0 {
  label="rule ready";
  n0 [shape=box, label="each o: Order\no.amount > 0\n3 facts, 3 tuples; 1 in, 3 out"];
  n1 [shape=box, label="not b: Block\nb.order == o.id\n1 facts shared by 2, 2 tuples; 3 in, 2 out"];
  n2 [shape=ellipse, label="2 matches, 2 pending, 0 waiting"];
  }
  subgraph cluster_1 {
  label="rule ship";
  n3 [shape=box, label="each r: Ready\n0 facts shared by 2, 0 tuples; 1 in, 0 out"];
  n4 [shape=box, label="exists o: Order\no.id == r.order\n3 facts shared by 2, 0 tuples; 0 in, 0 out"];
  n5 [shape=ellipse, label="0 matches, 0 pending, 0 waiting"];
  }
  subgraph cluster_2 {
  label="rule busy";
  n6 [shape=box, label="each r: Ready\n0 facts shared by 2, 0 tuples; 1 in, 0 out"];
  n7 [shape=box, label="element o: Order\no.id == r.order\n3 facts shared by 2, 0 tuples; 0 in, 0 out"];
  n8 [shape=box, label="group g: sum(o.amount) by o.id\nhaving g.0 > 5\n0 tuples; 0 in, 0 out"];
  n9 [shape=box, label="each a: Audit\na.order == r.order\n0 facts, 0 tuples; 0 in, 0 out"];
  n10 [shape=box, label="not b: Block\nb.order == a.order\n1 facts shared by 2, 0 tuples; 0 in, 0 out"];
  n11 [shape=box, label="not (inner tuples)\n0 tuples; 0 in, 0 out"];
  n12 [shape=ellipse, label="0 matches, 0 pending, 0 waiting"];
  }
  subgraph cluster_3 {
  label="query blocked";
  n13 [shape=box, label="each b: Block\nb.order != 0\n1 facts, 1 tuples; 1 in, 1 out"];
  n14 [shape=ellipse, label="1 rows"];
  }
  n0 -> n1;
  n1 -> n2;
  n3 -> n4;
  n4 -> n5;
  n6 -> n7;
  n6 -> n8;
  n7 -> n8 [label="inner"];
  n8 -> n9;
  n9 -> n10;
  n8 -> n11;
  n10 -> n11 [label="inner"];
  n11 -> n12;
  n13 -> n14;
}
"#
    );
    let mut session = memory(Ruleset::new("shop", 1).rule(named("ready", ready::definition())));
    session.insert(Order { id: 7, amount: 10 }).unwrap();
    session.flush().unwrap();
    assert_eq!(
        session.network().to_mermaid(),
        r#"flowchart TD
  subgraph g0 ["rule ready"]
  n0["each o: Order<br/>o.amount #62; 0<br/>1 facts, 1 tuples; 1 in, 1 out"]
  n1["not b: Block<br/>b.order == o.id<br/>0 facts, 1 tuples; 1 in, 1 out"]
  n2(["1 matches, 1 pending, 0 waiting"])
  end
  n0 --> n1
  n1 --> n2
"#
    );
}

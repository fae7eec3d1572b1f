//! What conditions on fact patterns become.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use steadfast::ir::{
    Absent, AgendaAttributes, Enabled, Exists, MAIN, OnError, Rule, RuleDef, Salience,
};
use steadfast::{Ref, Then};
use steadfast_macros::{Fact, rule};

use crate::describe::parts;
use crate::shop::{Customer, Order, Payment, Status};

#[rule(
    salience = -2147483648,
    on_error = "skip",
    group = "billing",
    auto_focus,
    lock_on_active,
    no_loop,
    activation_group = "one",
    enabled = true
)]
fn all_kinds(
    #[when(c.gold)] c: &Customer,
    #[when(o.customer == c.id && o.is_open())] o: Ref<'_, Order>,
    #[not(p.order == o.id)]
    #[not(p.amount >= o.amount)]
    p: Absent<Payment>,
    cx: &mut Then<'_>,
    #[exists(x.id != o.id && c.id == x.customer)] x: Exists<Order>,
    #[cross] _any: &Payment,
    _none: Absent<Status2>,
) {
    cx.touch(o).expect("it is there");
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
enum Status2 {
    A(f64),
    B { x: i32 },
}

#[rule]
fn reads_of_fields(
    a: &Order,
    #[when(b.amount + b.amount > a.amount)] // Inner on both sides: no index.
    #[when(*b != *a)]
    #[when((&b).id == a.id)]
    #[when(b.status == next(a.status))]
    b: &Order,
) {
}

fn next(status: Status) -> Status {
    status
}

#[rule]
fn opaque_conditions(
    a: &Customer,
    #[when(matches!(b.status, Status::Open) && a.name.chars().any(|a| a == 'x'))]
    #[when(b.customer == a.id)]
    #[when(format!("{b:?}").is_empty())]
    #[when(let Some(first) = a.name.chars().next() && first == 'x')]
    #[when(if a.gold { return true } else { b.amount > 0 })]
    b: &Order,
) {
}

#[rule]
fn ranges_both_ways(
    a: &Order,
    #[when(b.amount < a.amount && a.amount + 10 < b.amount && (b.id >= a.id))] b: &Order,
) {
}

#[rule]
fn watched(
    #[watch(amount, !status)] a: &Order,
    #[watch(*)]
    #[when(b.id == a.id)]
    b: &Order,
    #[watch(!*, id)]
    #[when(c.id == a.id)]
    c: &Order,
    #[watch(none)]
    #[when(d.id == a.id)]
    d: &Order,
    #[watch(*, !amount)]
    #[when(e.id == a.id)]
    e: &Order,
    #[watch(0, !1)]
    #[when(f.0 == a.id)]
    f: &Pair,
) {
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u64, f64);

/// Names that expansions use, too, and names that need a prefix.
#[rule]
fn names_of_ours(
    rows: &Order,
    #[when(row.id == rows.id)] row: &Order,
    #[when(answers.id == row.id && answers.amount == rows.amount)] answers: &Order,
    #[when(r#type.id == answers.id && codes != r#type.amount)] r#type: &Order,
    #[when(column_0.amount > r#type.amount)] column_0: &Order,
) {
}

#[expect(non_upper_case_globals, reason = "looks like a variable, as some of the engine's do")]
const codes: i64 = 3;

/// Fields that only their own module sees.
mod inner {
    use super::{Deserialize, Fact, Serialize, rule};

    #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    pub(super) struct Secret {
        code: u32,
    }

    #[rule]
    pub(super) fn private_fields(
        #[watch(!code)]
        #[when(a.code > 3)]
        a: &Secret,
    ) {
    }
}

/// A rule, and its parts as `describe` prints them.
fn table() -> Vec<(RuleDef, &'static [&'static str])> {
    vec![
        (
            all_kinds::definition(),
            &[
                "each c: Customer; alpha c.gold [c.gold]",
                "each o: Order; alpha o.is_open() [o.*]; \
                 key o.customer == c.id [c.id o.customer]",
                "not p: Payment; key p.order == o.id [o.id p.order]; \
                 at least p.amount >= o.amount [o.amount p.amount]",
                "exists x: Order; key c.id == x.customer [c.id x.customer]; \
                 residual x.id != o.id [o.id x.id]",
                "each _any: Payment",
                "not _none: Status2",
            ],
        ),
        (
            reads_of_fields::definition(),
            &[
                "each a: Order",
                "each b: Order; key (&b).id == a.id [a.id b.id]; \
                 key b.status == next(a.status) [a.status b.status]; \
                 residual b.amount + b.amount > a.amount [a.amount b.amount]; \
                 residual *b != *a [a.* b.*]",
            ],
        ),
        (
            opaque_conditions::definition(),
            &[
                "each a: Customer",
                "each b: Order; alpha matches!(b.status, Status::Open) [b.status]; \
                 alpha format!(\"{b:?}\").is_empty() [b.*]; \
                 key b.customer == a.id [a.id b.customer]; \
                 residual a.name.chars().any(|a| a == 'x') [a.*]; \
                 residual let Some(first) = a.name.chars().next() && first == 'x' [a.name]; \
                 residual if a.gold { return true } else { b.amount > 0 } [a.gold b.amount]",
            ],
        ),
        (
            ranges_both_ways::definition(),
            &[
                "each a: Order",
                "each b: Order; at most b.amount < a.amount [a.amount b.amount]; \
                 at least a.amount + 10 < b.amount [a.amount b.amount]; \
                 at least (b.id >= a.id) [a.id b.id]",
            ],
        ),
    ]
}

/// As above, for what is watched and how things are named.
fn table_of_watches_and_names() -> Vec<(RuleDef, &'static [&'static str])> {
    vec![
        (
            watched::definition(),
            &[
                "each a: Order; watch amount; ignore status",
                "each b: Order; key b.id == a.id [a.id b.id]; watch *",
                "each c: Order; key c.id == a.id [a.id c.id]; watch id; \
                 ignore customer amount status",
                "each d: Order; key d.id == a.id [a.id d.id]; ignore *",
                "each e: Order; key e.id == a.id [a.id e.id]; \
                 watch id customer status; ignore amount",
                "each f: Pair; key f.0 == a.id [a.id f.0]; watch 0; ignore 1",
            ],
        ),
        (
            names_of_ours::definition(),
            &[
                "each rows: Order",
                "each row: Order; key row.id == rows.id [rows.id row.id]",
                "each answers: Order; key answers.id == row.id [row.id answers.id]; \
                 key answers.amount == rows.amount [rows.amount answers.amount]",
                "each type: Order; alpha codes != r#type.amount [type.amount]; \
                 key r#type.id == answers.id [answers.id type.id]",
                "each column_0: Order; \
                 at least column_0.amount > r#type.amount [type.amount column_0.amount]",
            ],
        ),
        (
            inner::private_fields::definition(),
            &["each a: Secret; alpha a.code > 3 [a.code]; ignore code"],
        ),
    ]
}

#[test]
fn conditions_are_classified_and_know_what_they_read() {
    for (rule, expected) in table().into_iter().chain(table_of_watches_and_names()) {
        assert_eq!(parts(&rule), expected, "{}", rule.path);
    }
}

#[test]
fn arguments_are_in_the_definition() {
    let rule = all_kinds::definition();
    assert_eq!(rule.path, "it::parts::all_kinds");
    assert!(matches!((rule.salience, rule.on_error), (Salience::Fixed(i32::MIN), OnError::Skip)));
    let expected = AgendaAttributes {
        group: "billing".to_owned(),
        auto_focus: true,
        lock_on_active: true,
        no_loop: true,
        activation_group: Some("one".to_owned()),
        enabled: Some(Enabled { text: "true".to_owned(), evaluate: Arc::new(|_| true) }),
    };
    assert_eq!(format!("{:?}", rule.agenda), format!("{expected:?}"));
    let plain = inner::private_fields::definition();
    assert_eq!(plain.path, "it::parts::inner::private_fields");
    assert!(matches!((plain.salience, plain.on_error), (Salience::Fixed(0), OnError::Abort)));
    let nothing = format!("{:?}", AgendaAttributes::default());
    assert_eq!((format!("{:?}", plain.agenda), MAIN), (nothing, "MAIN"));
}

#[test]
fn rules_and_facts_can_be_local() {
    #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    struct Local {
        x: u8,
    }
    const LIMIT: u8 = 3;
    #[rule]
    fn local(#[when(l.x > LIMIT)] l: &Local) {}

    assert_eq!(parts(&local::definition()), ["each l: Local; alpha l.x > LIMIT [l.x]"]);
}

#[test]
fn rules_can_be_written_by_macros() {
    macro_rules! over {
        ($name:ident, $limit:expr) => {
            #[rule]
            fn $name(#[when(o.amount > $limit)] o: &Order) {}
        };
    }
    over!(over_seven, 3 + 4);
    assert_eq!(
        parts(&over_seven::definition()),
        ["each o: Order; alpha o.amount > 3 + 4 [o.amount]"]
    );
}

//! Decimals as fields, keys and inputs of accumulates, over restarts. Wherever 1.0 and 1.00 are compared they
//! are one number.

use steadfast::Decimal;
use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{fire, memory, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Sale {
    shop: u32,
    price: Decimal,
}

/// What costs so much is taxed at a rate.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Band {
    #[fact(key)]
    price: Decimal,
    rate: Decimal,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Taxed {
    price: Decimal,
    tax: Decimal,
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn sale(price: &str) -> Sale {
    Sale { shop: 1, price: decimal(price) }
}

fn band(price: &str, rate: &str) -> Band {
    Band { price: decimal(price), rate: decimal(rate) }
}

const DEAR: Decimal = Decimal::new(100, 0);

#[rule]
fn turnover(
    #[group_by(s.shop)]
    #[aggregate(sum(s.price), average(s.price), min(s.price), max(s.price), median(s.price))]
    g: Group<Sale, u32, (Decimal, Decimal, Decimal, Decimal, Decimal)>,
) {
    say(format!("{} in all, {:.3} each, {} to {}, {}", g.0, g.1, g.2, g.3, g.4));
}

#[rule(logical)]
fn taxed(b: &Band, #[when(s.price == b.price)] s: &Sale) -> Taxed {
    Taxed { price: s.price, tax: s.price * b.rate }
}

#[rule]
fn by_price(
    #[group_by(s.price)]
    #[aggregate(count())]
    g: Group<Sale, Decimal, (u64,)>,
    #[having(g.0 > 1)] _h: Having,
) {
    say(format!("{} times {}", g.0, g.key));
}

#[rule]
fn dear(#[when(s.price >= DEAR)] s: &Sale) {
    say(format!("{} is dear", s.price));
}

#[rule]
fn a_hundred(#[when(s.price == DEAR)] s: &Sale) {
    say(format!("{} is a hundred", s.price));
}

#[rule]
fn dearer(a: &Sale, #[when(b.price > a.price)] b: &Sale) {
    say(format!("{} over {}", b.price, a.price));
}

ruleset!(sums = 1: turnover);
ruleset!(taxes = 1: taxed);
ruleset!(prices = 1: by_price);
ruleset!(comparisons = 1: dear, a_hundred, dearer);

#[test]
fn decimals_are_summed_exactly_over_restarts() {
    survives(
        sums,
        &[
            step("a sale", |w| w.insert("a", sale("0.10")), []),
            step("another", |w| w.insert("b", sale("0.2")), []),
            step("fire", World::fire, ["0.3 in all, 0.150 each, 0.1 to 0.2, 0.1"]),
            step("a large one", |w| w.insert("c", sale("100000000000000000000")), []),
            step(
                "fire",
                World::fire,
                ["100000000000000000000.3 in all, 33333333333333333333.433 each, 0.1 to \
                 100000000000000000000, 0.2"],
            ),
            step("it goes", |w| w.delete::<Sale>("c"), []),
            step("as it was", World::fire, ["0.3 in all, 0.150 each, 0.1 to 0.2, 0.1"]),
            step(
                "to the last digit",
                |w| w.update("b", |s: &mut Sale| s.price = decimal("0.20")),
                [],
            ),
            step("no news", World::fire, []),
        ],
    );
}

#[test]
fn equal_decimals_join_derive_and_count_as_one_number_over_restarts() {
    survives(
        taxes,
        &[
            step("a band", |w| w.insert("band", band("1.50", "0.20")), []),
            step("a sale", |w| w.insert("a", sale("1.5")), []),
            step("one of the same", |w| w.insert("b", sale("1.5000")), []),
            step("fire", World::fire, []),
            step("one fact of both", |w| assert_eq!(w.count::<Taxed>(), 1), []),
            step("one goes", |w| w.delete::<Sale>("a"), []),
            step("the other supports it", |w| assert_eq!(w.count::<Taxed>(), 1), []),
            step("no news", |w| w.update("b", |s: &mut Sale| s.price = decimal("1.50")), []),
            step("fire", World::fire, []),
            step("it moves away", |w| w.update("b", |s: &mut Sale| s.price = decimal("1.51")), []),
            step("nothing is left", |w| assert_eq!(w.count::<Taxed>(), 0), []),
        ],
    );
}

#[test]
fn equal_decimals_are_one_key_of_a_group_over_restarts() {
    survives(
        prices,
        &[
            step("a sale", |w| w.insert("a", sale("3.0")), []),
            step("fire", World::fire, []),
            step("another", |w| w.insert("b", sale("3.00")), []),
            step("fire", World::fire, ["2 times 3"]),
            step("and one", |w| w.insert("c", sale("3.01")), []),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn decimals_are_compared_as_numbers() {
    let mut session = memory(comparisons());
    session.insert(sale("100.000")).unwrap();
    session.insert(sale("99.9999999")).unwrap();
    session.insert(sale("99.99999999")).unwrap();
    assert_eq!(
        fire(&mut session),
        [
            "100 is dear",
            "100 is a hundred",
            "100 over 99.9999999",
            "99.99999999 over 99.9999999",
            "100 over 99.99999999",
        ]
    );
}

#[test]
fn equal_decimals_are_one_key_of_a_type_and_one_value_of_a_fact() {
    let mut session = memory(taxes());
    let first = session.insert_unique(band("2.50", "0.1")).unwrap();
    let again = session.insert_unique(band("2.5", "0.3")).unwrap();
    assert_eq!(first, again);
    let before = session.digest();
    session.update(first, |band| band.rate = decimal("0.10")).unwrap();
    assert_eq!(session.digest(), before, "nothing has changed");
}

#[test]
fn a_sum_that_no_decimal_holds_is_an_error_and_never_rounded() {
    let mut session = memory(sums());
    for price in ["10000000000000000000000", "0.0000000000000000000000000001"] {
        session.insert(sale(price)).unwrap();
    }
    let error = session.fire_all().unwrap_err();
    assert_eq!(error.code(), "SF0013");
    let report = error.report();
    assert!(report.contains("10000000000000000000000.0000000000000000000000000001"), "{report}");
}

//! SF0003 and SF0004: fact types that a build does not know, or knows in another shape.

use steadfast::Ruleset;
use steadfast::prelude::*;

use super::report;
use crate::support::{Disk, memory};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Customer {
    id: u64,
}

/// A session with one order of the first version.
fn session_of_the_old_build() -> (Disk, steadfast::FactHandle) {
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Order {
        id: u64,
        cents: i64,
    }
    let disk = Disk::new();
    let mut session = disk.open(Ruleset::new("shop", 1).fact::<Order>().fact::<Customer>());
    let order = session.insert(Order { id: 1, cents: 500 }).unwrap();
    session.insert(Customer { id: 9 }).unwrap();
    session.flush().unwrap();
    (disk, order.fact())
}

#[test]
fn sf0003_facts_of_a_type_that_the_ruleset_does_not_name_are_never_dropped() {
    let (disk, _) = session_of_the_old_build();
    let error = disk.try_open(Ruleset::new("shop", 1).fact::<Customer>()).unwrap_err();
    let expected = "error SF0003: the session could not be recovered
  the journal holds 1 facts of type `Order`, which this ruleset does not know: name it in the ruleset (`facts: Order`)
  help: name the type in the ruleset (`facts: …`), or open with the old program";
    assert_eq!(report(&error, &disk), expected);
}

#[test]
fn sf0004_a_type_that_changed_without_a_new_version_is_not_read() {
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Order {
        id: u64,
        cents: i64,
        currency: String,
    }
    let (disk, _) = session_of_the_old_build();
    let error = disk.try_open(Ruleset::new("shop", 1).fact::<Order>().fact::<Customer>());
    let report = report(&error.unwrap_err(), &disk);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(
        lines[..2],
        ["error SF0004: the session could not be recovered", "  fact f#1 cannot be read",]
    );
    // In between is what the decoder says.
    assert!(
        lines[2].starts_with("  the bytes of `Order` version 1 do not fit its fields ("),
        "{report}"
    );
    assert!(lines[2].ends_with("): did the fields change without a new version?"), "{report}");
    assert_eq!(lines[3..], ["  help: deploy a build that knows this version, or add an upcaster"]);
}

#[test]
fn sf0004_a_newer_or_older_version_without_a_way_to_read_it_is_refused() {
    let newer = {
        #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[fact(version = 2)]
        struct Order {
            id: u64,
        }
        Ruleset::new("shop", 1).fact::<Order>().fact::<Customer>()
    };
    let (disk, _) = session_of_the_old_build();
    let expected = "error SF0004: the session could not be recovered
  fact f#1 cannot be read
  `Order` was stored with version 1, this build has version 2 and no upcaster: add #[fact(from = OldType)]
  help: deploy a build that knows this version, or add an upcaster";
    assert_eq!(report(&disk.try_open(newer.clone()).unwrap_err(), &disk), expected);

    // The other way round: what the new build wrote, the old one does not misread.
    let written_by_the_new_build = {
        #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[fact(version = 3)]
        struct Order {
            id: u64,
        }
        let disk = Disk::new();
        let mut session = disk.open(Ruleset::new("shop", 1).fact::<Order>().fact::<Customer>());
        session.insert(Order { id: 1 }).unwrap();
        session.flush().unwrap();
        disk
    };
    let expected = "error SF0004: the session could not be recovered
  fact f#1 cannot be read
  `Order` was stored with version 3, this build knows up to 2
  help: deploy a build that knows this version, or add an upcaster";
    let error = written_by_the_new_build.try_open(newer).unwrap_err();
    assert_eq!(report(&error, &written_by_the_new_build), expected);
}

#[test]
fn an_upcaster_reads_what_older_builds_wrote() {
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    #[fact(rename = "Order")]
    struct OrderV1 {
        id: u64,
        cents: i64,
    }
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    #[fact(version = 2, from = OrderV1)]
    struct Order {
        id: u64,
        cents: i64,
        currency: String,
    }
    impl From<OrderV1> for Order {
        fn from(OrderV1 { id, cents }: OrderV1) -> Self {
            Self { id, cents, currency: "EUR".to_owned() }
        }
    }
    let rules = || Ruleset::new("shop", 1).fact::<Order>().fact::<Customer>();
    let (disk, fact) = session_of_the_old_build();
    let mut session = disk.open(rules());
    let order = session.handle::<Order>(fact).unwrap();
    let expected = Order { id: 1, cents: 500, currency: "EUR".to_owned() };
    assert_eq!(session.get(order), Some(&expected));
    // From its next update on it is stored in the new version.
    session.update(order, |order| order.currency = "USD".to_owned()).unwrap();
    session.flush().unwrap();
    let digest = session.digest();
    drop(session);
    let session = disk.open(rules());
    assert_eq!(session.get(order).unwrap().currency, "USD");
    assert_eq!(session.digest(), digest);
}

#[test]
fn a_type_keeps_its_facts_under_another_name_in_the_program() {
    #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    #[fact(rename = "Order")]
    struct PurchaseOrder {
        number: u64,
        cents: i64,
    }
    let (disk, fact) = session_of_the_old_build();
    let session = disk.open(Ruleset::new("shop", 1).fact::<PurchaseOrder>().fact::<Customer>());
    let order = session.handle::<PurchaseOrder>(fact).unwrap();
    assert_eq!(session.get(order), Some(&PurchaseOrder { number: 1, cents: 500 }));
}

#[test]
fn sf0011_a_fact_of_a_type_that_the_ruleset_does_not_name_is_refused_at_once() {
    let disk = Disk::new();
    let mut session = memory(Ruleset::new("shop", 1));
    let error = session.insert(Customer { id: 1 }).unwrap_err();
    let expected = "error SF0011: the ruleset does not know facts of type `Customer`: name it in the ruleset (`facts: Customer`)
  help: nothing was applied; correct the change";
    assert_eq!(report(&error, &disk), expected);
    assert_eq!(session.fact_count(), 0);
}

#[test]
fn sf0004_a_global_or_an_effect_of_another_version_is_an_error_where_it_is_read() {
    #[derive(Global, Clone, Debug, Serialize, Deserialize)]
    #[global(rename = "limit")]
    struct Old(i64);
    #[derive(Global, Clone, Debug, Serialize, Deserialize)]
    #[global(rename = "limit", version = 2)]
    struct New(String);
    let disk = Disk::new();
    let mut session = memory(Ruleset::new("shop", 1));
    session.set_global(Old(3)).unwrap();
    let error = steadfast::Error::from(session.global::<New>().unwrap_err());
    let expected = "error SF0004: `limit` was stored with version 1, this build has version 2 and no upcaster: add #[fact(from = OldType)]
  help: deploy a build that knows this version, or add an upcaster";
    assert_eq!(report(&error, &disk), expected);
    assert_eq!(session.global::<Old>().unwrap().unwrap().0, 3);
}

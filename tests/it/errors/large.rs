//! Facts and transactions that are large.

use steadfast::prelude::*;

use super::report;
use crate::support::Disk;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Page {
    number: u64,
    text: String,
}

ruleset!(pages = 1: ; facts: Page);

#[rule]
fn bloat(#[when(p.number == 13)] p: &Page, cx: &mut Then) -> RuleResult {
    cx.insert(Page { number: 14, text: "x".repeat(17 << 20) })?;
    Ok(())
}

ruleset!(bloating = 1: bloat);

#[test]
fn a_transaction_of_any_number_of_facts_is_one_commit() {
    let disk = Disk::new();
    let mut session = disk.open(pages());
    let inserted = session.transact(|stage| {
        for number in 0..70_000 {
            stage.insert(Page { number, text: String::new() })?;
        }
        Ok(())
    });
    inserted.unwrap();
    let session = disk.crash().open(pages());
    assert_eq!(session.fact_count(), 70_000);
}

#[test]
fn sf0011_a_value_that_is_too_long_for_the_journal_is_refused_and_the_session_goes_on() {
    for bytes in [100_000, 17 << 20] {
        let disk = Disk::new();
        let mut session = disk.open(pages());
        let digest = session.digest();
        let long = || Page { number: 1, text: "x".repeat(bytes) };
        let error = session.insert(long()).unwrap_err();
        assert_eq!(error.code(), "SF0011", "{error:?}");
        assert!(report(&error, &disk).contains("`Page`"), "{}", report(&error, &disk));
        assert_eq!(session.digest(), digest);
        let short = session.insert(Page { number: 2, text: String::new() }).unwrap();
        assert_eq!(session.update(short, |page| *page = long()).unwrap_err().code(), "SF0011");
        assert_eq!(disk.crash().open(pages()).digest(), session.digest());
    }
}

#[test]
fn sf0012_a_consequence_with_a_value_that_is_too_long_has_failed_and_the_session_goes_on() {
    let disk = Disk::new();
    let mut session = disk.open(bloating());
    let page = session.insert(Page { number: 13, text: String::new() }).unwrap();
    for _ in 0..2 {
        assert_eq!(session.fire_all().unwrap_err().code(), "SF0012");
        session = disk.crash().open(bloating());
    }
    session.delete(page).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 0);
}

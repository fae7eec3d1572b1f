//! Facts and transactions that are large.

use steadfast::prelude::*;

use crate::support::Disk;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Page {
    number: u64,
    text: String,
}

ruleset!(pages = 1: ; facts: Page);

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

//! A process that dies in the middle of its work, and one that goes on with it.
//!
//! ```console
//! $ cargo run --example crash_and_restore
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::path::Path;
use std::process::Command;

use steadfast::prelude::*;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    confirmed: bool,
}

// What a rule wants to happen outside is an effect: it leaves only after its commit is durable.
#[derive(Effect, Debug, Serialize, Deserialize)]
struct Mail {
    order: u64,
}

#[rule]
fn confirm(#[when(!o.confirmed)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    println!("  confirming order {}", o.id);
    cx.emit(Mail { order: o.id })?;
    cx.modify(o, |o| o.confirmed = true)?;
    if o.id == 3 && std::env::var_os(DOOMED).is_some() {
        // In the middle of a consequence, after it has asked for changes: no destructor runs, and
        // nothing is said to anybody.
        println!("  the process dies");
        std::process::abort();
    }
    Ok(())
}

ruleset!(shop = 1: confirm);

/// Set for the process that is to die.
const DOOMED: &str = "CRASH_AND_RESTORE_DOOMED";

/// Four orders come in, and confirming them begins.
fn work(dir: &Path) -> steadfast::Result<()> {
    let mut session = Session::durable(dir).open(shop())?;
    // A commit after every firing, so that a crash loses none that was completed.
    session.commit_every(1);
    for id in 1..=4 {
        session.insert(Order { id, confirmed: false })?;
    }
    session.fire_all()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = std::env::var_os(DOOMED) {
        return Ok(work(dir.as_ref())?);
    }
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("shop");
    println!("a process works on a session:");
    let status = Command::new(std::env::current_exe()?).env(DOOMED, &path).status()?;
    println!("it ended: {status}");

    // Opening is recovering. No rule runs: what the journal says happened, happened.
    println!("another process opens the session:");
    let mut session = Session::durable(&path).open(shop())?;
    let confirmed = session.query::<Order>()?.iter().filter(|order| order.confirmed).count();
    println!("{confirmed} of {} orders are confirmed", session.fact_count());

    // The third consequence was cut short, so nothing of it is there, and its match still waits.
    let fired = session.fire_all()?;
    println!("{} rules fired", fired.count);

    // Each mail was sent for good or not at all: an effect is delivered under the same key until it
    // is acknowledged, and the receiver drops what it has seen.
    for mail in session.effects::<Mail>()? {
        println!(
            "mail for order {} under key …/{}/{}",
            mail.order,
            mail.key.commit.get(),
            mail.key.ordinal
        );
        session.acknowledge(mail.key)?;
    }
    session.close()?;
    Ok(())
}

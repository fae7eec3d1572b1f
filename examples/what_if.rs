//! An aircraft breaks down: which passengers does that strand, which plan strands the fewest, and how far can one go
//! before it makes things worse? Questions to a live session that leave no trace, and a plan with savepoints.
//!
//! ```console
//! $ cargo run --example what_if
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use steadfast::prelude::*;
use steadfast::{Error, Result};

/// A flight of a day's schedule; times are minutes.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Flight {
    #[fact(key)]
    number: u64,
    aircraft: String,
    from: String,
    to: String,
    departs: i64,
    arrives: i64,
    passengers: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct OutOfService {
    aircraft: String,
}

/// A flight that cannot go, and its passengers.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Stranded {
    flight: u64,
    passengers: u64,
}

#[rule(logical)]
fn grounded(d: &OutOfService, #[when(f.aircraft == d.aircraft)] f: &Flight) -> Stranded {
    Stranded { flight: f.number, passengers: f.passengers }
}

// An aircraft that has to be in two places, or to turn around in less than half an hour.
#[rule(logical)]
fn clash(
    f: &Flight,
    #[when(
        g.aircraft == f.aircraft && g.departs > f.departs
            && (g.from != f.to && g.departs < f.arrives + 120 || g.departs < f.arrives + 30)
    )]
    g: &Flight,
) -> Stranded {
    Stranded { flight: g.number, passengers: g.passengers }
}

#[query]
fn stranded(s: &Stranded) -> (u64, u64) {
    (s.flight, s.passengers)
}

ruleset!(operations = 1: grounded, clash; queries: stranded);

/// Who is stranded as things are, or would be in a transaction: it takes either.
fn passengers(session: &mut Session) -> Result<u64> {
    session.fire_all()?;
    Ok(session.rows::<stranded>()?.iter().map(|(_, passengers)| passengers).sum())
}

fn reassign(session: &mut Session, number: u64, aircraft: &str) -> Result<()> {
    let flight = session.find::<Flight>(&number).map(|flight| flight.handle());
    let flight = flight.ok_or_else(|| Error::give_up(format!("there is no flight {number}")))?;
    session.update(flight, |flight| aircraft.clone_into(&mut flight.aircraft))
}

fn main() -> Result<()> {
    let mut session = Session::memory(operations())?;
    let schedule = [
        (1, "A", "FRA", "MAD", 480, 640, 180),
        (2, "A", "MAD", "FRA", 690, 850, 170),
        (3, "A", "FRA", "OSL", 900, 1020, 150),
        (4, "B", "FRA", "LIS", 500, 680, 160),
        (5, "C", "FRA", "VIE", 700, 780, 90),
        (6, "B", "LIS", "FRA", 730, 890, 165),
    ];
    for (number, aircraft, from, to, departs, arrives, passengers) in schedule {
        let [aircraft, from, to] = [aircraft, from, to].map(str::to_owned);
        session.insert(Flight { number, aircraft, from, to, departs, arrives, passengers })?;
    }
    println!("the day as planned strands {}", passengers(&mut session)?);

    // Each aircraft in turn breaks down, and none of it has happened.
    for aircraft in ["A", "B", "C"] {
        let out = OutOfService { aircraft: aircraft.to_owned() };
        let stranded = session.what_if(|t| {
            t.insert(out)?;
            passengers(t)
        })??;
        println!("if {aircraft} broke down: {stranded}");
    }
    assert_eq!(session.query::<OutOfService>()?.len(), 0);

    // Now one does. The plan goes on as long as each step helps; a step that does not is taken back.
    session.insert(OutOfService { aircraft: "A".to_owned() })?;
    let mut t = session.begin()?;
    let mut best = passengers(&mut t)?;
    println!("A is out of service: {best}");
    for (number, aircraft) in [(1, "C"), (2, "C"), (3, "B"), (3, "C")] {
        let before = t.savepoint("before the step")?;
        reassign(&mut t, number, aircraft)?;
        let now = passengers(&mut t)?;
        let helps = now < best;
        println!(
            "  flight {number} with {aircraft}: {now}{}",
            if helps { "" } else { ", taken back" }
        );
        if helps {
            best = now;
        } else {
            t.rollback_to(&before)?;
        }
    }
    t.commit()?;
    println!(
        "the plan strands {}, in one commit: {}",
        passengers(&mut session)?,
        session.last_commit()
    );
    Ok(())
}

//! The main example's January, in memory and journaled at two levels.
//!
//! One session per sample takes every hour of the month: a transaction, the firings, the effects and
//! their acknowledgements. Reading the data is not timed. The alerts of all runs must be equal.
#![expect(clippy::print_stderr, reason = "measuring programs tell people on stderr what is wrong")]

#[path = "../../../examples/flight_ops/data.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod data;
#[path = "../../../examples/flight_ops/facts.rs"]
#[expect(unreachable_pub, reason = "shared with the example")]
mod facts;
#[path = "../../../examples/flight_ops/rules.rs"]
mod rules;

use std::path::Path;
use std::time::Duration;

use data::{Data, Hour};
use facts::{Alert, DayClosed};
use steadfast::prelude::*;
use steadfast_benches::{Args, Pair, median, timed};

/// More than January writes.
const JOURNAL_BYTES: u64 = 16 << 20;

/// Takes a session through the month; gives its alerts in order.
fn run(session: &mut Session, data: &Data) -> steadfast::Result<Vec<String>> {
    let mut alerts = Vec::new();
    session.transact(|tx| {
        data.planes.iter().try_for_each(|plane| tx.insert(plane.clone()).map(drop))?;
        Ok(())
    })?;
    for (&day, hours) in &data.days {
        for hour in 0..=hours.len() {
            step(session, hours, hour)?;
            settle(session, &mut alerts)?;
        }
        session.insert(DayClosed { day })?;
        settle(session, &mut alerts)?;
    }
    Ok(alerts)
}

fn step(session: &mut Session, hours: &[Hour; 24], hour: usize) -> steadfast::Result<()> {
    session.transact(|tx| {
        // Observations arrive an hour late.
        let weather = hour.checked_sub(1).map(|before| &hours[before].weather);
        for observation in weather.into_iter().flatten() {
            tx.insert(observation.clone())?;
        }
        for flight in hours.get(hour).iter().flat_map(|hour| &hour.flights) {
            tx.insert(flight.clone())?;
        }
        Ok(())
    })
}

fn settle(session: &mut Session, alerts: &mut Vec<String>) -> steadfast::Result<()> {
    session.fire_all()?;
    for alert in session.effects::<Alert>()? {
        alerts.push(format!("{:?}", *alert));
        session.acknowledge(alert.key)?;
    }
    Ok(())
}

fn durable(sync: Sync, data: &Data) -> steadfast::Result<(Vec<String>, Duration)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut session = Session::durable(dir.path().join("s")).sync(sync).open(rules::flight_ops())?;
    // As a session that is not new has it: the first segments are small, the others large.
    session.reserve(JOURNAL_BYTES)?;
    let (alerts, time) = timed(|| run(&mut session, data));
    Ok((alerts?, time))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::from_env();
    let january = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
    let data = Data::read(&january).inspect_err(|error| eprintln!("{error}"))?;
    let flights = data.days.values().flatten().map(|hour| hour.flights.len()).sum::<usize>();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..args.samples {
        let mut memory = Session::memory(rules::flight_ops())?;
        let (expected, time) = timed(|| run(&mut memory, &data));
        let expected = expected?;
        times[0].push(time);
        for (at, sync) in [Sync::Process, Sync::Batch].into_iter().enumerate() {
            let (alerts, time) = durable(sync, &data)?;
            assert_eq!(alerts, expected, "the journal changes nothing");
            times[at + 1].push(time);
        }
    }
    let [memory, process, batch] = times.each_mut().map(|times| median(times));
    for (work, ours, target) in [
        ("January at Process", process, Some(0.8)),
        ("January at Batch, every commit synced", batch, None),
    ] {
        let pair = Pair {
            work,
            size: u64::try_from(flights)?,
            against: "in memory",
            ours,
            theirs: memory,
            unit: "s",
            higher_is_better: false,
            target,
        };
        pair.print();
    }
    Ok(())
}

//! What followers cost a session: the same stream into one with a journal of its own and into one that a group keeps.

use std::path::Path;
use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::{Args, Pair, median, timed};
use steadfast_ha_transport::{LocalCoordinator, NodeId, Options, Policy, TcpOptions, TcpTransport};

use super::{GROUP, LONG_LEASE, PATIENCE, Result};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    id: i64,
    value: i64,
}

#[rule]
fn small(#[when(item.value < 100)] item: &Item) {
    std::hint::black_box(item.id);
}

ruleset!(items = 1: small);

/// Facts of a commit.
const BATCH: i64 = 100;

/// Inserts facts, a commit for each so many and one for what fires, and waits for the last one.
fn stream(session: &mut Session, from: i64, facts: i64) -> Result<Duration> {
    let (done, time) = timed(|| -> steadfast::Result<()> {
        for start in (from..from + facts).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            session.transact(|tx| {
                (start..start + BATCH)
                    .try_for_each(|id| tx.insert(Item { id, value: id * 7919 % 1000 }).map(drop))?;
                Ok(())
            })?;
            session.fire_all()?;
        }
        session.wait_durable(session.last_commit())
    });
    done?;
    Ok(time)
}

/// The nodes of a new group, and what its stream takes.
fn group(
    dir: &Path,
    count: u32,
    policy: Policy,
    facts: i64,
) -> Result<(Duration, steadfast::Digest)> {
    let ids = || (1..=count).map(NodeId);
    let mut transports = Vec::new();
    for id in ids() {
        transports.push(TcpTransport::bind(id, "127.0.0.1:0", TcpOptions::new(GROUP))?);
    }
    let addresses: Vec<_> =
        ids().zip(&transports).map(|(id, it)| (id, it.address().to_string())).collect();
    let mut nodes = Vec::new();
    let coordinators = LocalCoordinator::in_memory(ids(), LONG_LEASE);
    for ((id, transport), coordinator) in ids().zip(transports).zip(coordinators) {
        let mut options = Options::default();
        options.evict = None;
        let mut node = Session::replicated(dir.join(id.to_string()), GROUP, id)
            .options(options)
            .ack(policy)
            .pipelined(true);
        for (peer, address) in addresses.iter().filter(|it| it.0 != id) {
            node = node.peer(*peer, address.clone());
        }
        nodes.push(node.start(items(), transport, coordinator)?);
    }
    let mut session = nodes[0].lead(PATIENCE)?.ok_or("the first node leads at first")?;
    let time = second_stream(&mut session, facts)?;
    let digest = session.digest();
    let last = nodes[0].status().last;
    for node in &nodes {
        node.watch(PATIENCE, |status| status.applied >= last).ok_or("a node does not follow")?;
    }
    let seen = nodes[nodes.len() - 1].look()?.ok_or("it has followed")?;
    if seen.digest() != digest {
        return Err("a follower has another state".into());
    }
    Ok((time, digest))
}

/// A new session with a journal of its own, and what its stream takes.
fn alone(dir: &Path, facts: i64) -> Result<(Duration, steadfast::Digest)> {
    let mut session = Session::durable(dir).pipelined(true).open(items())?;
    let time = second_stream(&mut session, facts)?;
    Ok((time, session.digest()))
}

/// The first one is for the files: journals that are new have their first segments made, by threads that need as long as
/// the stream takes.
fn second_stream(session: &mut Session, facts: i64) -> Result<Duration> {
    stream(session, 0, facts / 2)?;
    std::thread::sleep(Duration::from_millis(300));
    stream(session, facts / 2, facts)
}

pub(super) fn run(args: Args) -> Result<()> {
    let facts = if args.quick { 400_000 } else { 2_000_000 };
    for (name, count, policy, target) in [
        ("Async, one follower", 2, Policy::Async, Some(0.9)),
        ("All, one follower", 2, Policy::All, Some(0.7)),
        ("All, two followers", 3, Policy::All, None),
    ] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..args.samples {
            let dir = tempfile::tempdir()?;
            let (time, digest) = alone(&dir.path().join("alone"), facts)?;
            theirs.push(time);
            let (time, replicated) = group(dir.path(), count, policy, facts)?;
            ours.push(time);
            if digest != replicated {
                return Err("with followers it is another session".into());
            }
        }
        let work = format!("a session, 100 facts a commit, {name}");
        let (size, against, unit) = (u64::try_from(facts)?, "a journal alone", "s");
        let (ours, theirs) = (median(&mut ours), median(&mut theirs));
        Pair { work: &work, size, against, ours, theirs, unit, higher_is_better: false, target }
            .print();
    }
    Ok(())
}

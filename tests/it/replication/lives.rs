//! One node after the other leads, in one process, and the session lives like one that nobody interrupts.

use std::path::Path;
use std::time::{Duration, Instant};

use steadfast::ha::{NodeId, Policy};
use steadfast::{Error, Replicated, Session};

use super::{Addresses, PATIENCE, builder, lead, look_at, start};
use crate::durability::kills::{Heard, Twin, waiting};
use crate::durability::life::{Draw, Life, Mail, orders};
use crate::support::Disk;

const LEASE: Duration = Duration::from_millis(500);

struct Cluster<'a> {
    dir: &'a Path,
    addresses: Addresses,
    policy: Policy,
    pipelined: bool,
    nodes: Vec<(NodeId, Replicated)>,
}

impl<'a> Cluster<'a> {
    fn new(dir: &'a Path, count: usize, policy: Policy, pipelined: bool) -> Self {
        let addresses = Addresses::free(count);
        let mut cluster = Self { dir, addresses, policy, pipelined, nodes: Vec::new() };
        cluster.addresses.ids().for_each(|id| cluster.start(id));
        cluster
    }

    fn start(&mut self, id: NodeId) {
        let builder = builder(self.dir, &self.addresses, id, self.policy);
        let builder = builder.pipelined(self.pipelined);
        let node = start(builder, self.dir, &self.addresses, id, LEASE, orders());
        self.nodes.push((id, node));
    }

    /// Whoever leads, and its session.
    fn lead(&mut self) -> (usize, Session) {
        let end = Instant::now() + PATIENCE;
        loop {
            let at = self.nodes.iter().position(|(_, node)| node.status().leads);
            if let Some(at) = at
                && let Some(session) = lead(&mut self.nodes[at].1, orders, Duration::ZERO)
            {
                return (at, session);
            }
            let statuses = || self.nodes.iter().map(|(_, node)| node.status()).collect::<Vec<_>>();
            assert!(Instant::now() < end, "nobody leads: {:#?}", statuses());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// Does parts of works until so many are done or the node is deposed; what was delivered is heard.
fn work(session: &mut Session, first: u64, parts: u64, heard: &mut Heard) -> Result<(), Error> {
    let mut work = first;
    for _ in 0..parts {
        let mut deliver = |commit, ordinal, mail: &Mail| {
            heard.take(&format!("mail {commit} {ordinal} {mail:?}"));
        };
        let done = Life { session, deliver: &mut deliver }.part(work);
        work += u64::from(done?);
    }
    Ok(())
}

fn rounds() -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { 500 } else { 25 }
}

/// INV-71, INV-72, INV-79 for groups.
fn lives(policy: Policy, pipelined: bool, rounds: u64) {
    let disk = Disk::new();
    std::fs::create_dir_all(disk.path()).unwrap();
    let dir = disk.path();
    let mut cluster = Cluster::new(&dir, 3, policy, pipelined);
    let mut twin_disk = Disk::new();
    let mut twin = Twin::new(twin_disk.open(orders()));
    let mut heard = Heard::default();
    let mut draw = Draw(u64::from(pipelined));
    for round in 0..rounds {
        let (at, mut session) = cluster.lead();
        let commit = session.last_commit();
        assert!(commit.get() >= heard.commit, "round {round}: acknowledged and lost");
        // What was not acknowledged may be lost, where the session did not wait.
        if commit < twin.session.last_commit() {
            twin_disk = Disk::new();
            twin = Twin::new(twin_disk.open(orders()));
        }
        // A new session's first commit is its ruleset.
        twin.go_to(commit);
        assert_eq!(session.digest(), twin.session.digest(), "round {round}");
        assert_eq!(session.pending(), twin.session.pending(), "round {round}");
        assert_eq!(session.waiting(), twin.session.waiting(), "round {round}");
        let left = waiting(&mut session);
        for (key, mail) in &twin.mails {
            assert!(left.get(key).or(heard.mails.get(key)) == Some(mail), "round {round}: {key:?}");
        }

        let parts = draw.next(120);
        work(&mut session, twin.work, parts, &mut heard).unwrap();
        match draw.next(3) {
            0 => {
                // Another one takes over while this one works.
                let to = cluster.nodes[(at + 1) % 3].0;
                cluster.nodes[at].1.hand_over(to).unwrap();
                twin.go_to(session.last_commit());
                let ended = work(&mut session, twin.work, u64::MAX, &mut heard).unwrap_err();
                assert!(matches!(ended, Error::Deposed | Error::Uncertain { .. }), "{ended}");
                assert!(matches!(session.flush(), Err(Error::Failed)), "it takes no more work");
            }
            1 => {
                if !pipelined {
                    heard.commit = session.last_commit().get();
                } else if draw.next(2) == 0 {
                    session.wait_durable(session.last_commit()).unwrap();
                    heard.commit = session.last_commit().get();
                }
                drop(session);
                let (id, node) = cluster.nodes.remove(at);
                drop(node);
                cluster.start(id);
            }
            _ => {
                session.close().unwrap();
            }
        }
    }
    let (_, session) = cluster.lead();
    let last = session.last_commit();
    let snapshots = cluster.nodes.iter().filter(|(_, node)| node.status().snapshot.0 > 0).count();
    assert_eq!(snapshots, 3, "all began with a snapshot when they started again");
    for (id, node) in &mut cluster.nodes {
        let seen = look_at(node, orders, last);
        assert_eq!(seen.digest(), session.digest(), "node {id}");
        assert_eq!(seen.effect_count(), 0, "nobody delivers what another one does");
    }
    assert!(last.get() > 10 * rounds, "{last} commits");
    drop(session);
    for (id, node) in &mut cluster.nodes {
        let snapshot = node.snapshot().unwrap();
        assert!(snapshot.is_none_or(|seq| seq.0 >= last.get()), "node {id}: {snapshot:?}");
        assert_eq!(node.status().refused_snapshots.len(), 0);
    }
    let stopped = cluster.nodes.iter().filter_map(|(_, node)| node.status().stopped).count();
    assert_eq!(stopped, 0);
}

#[test]
fn led_by_one_after_the_other_a_session_lives_like_one_that_nobody_interrupts() {
    lives(Policy::All, false, rounds());
}

#[test]
fn a_pipelined_session_loses_nothing_that_it_waited_for() {
    lives(Policy::Majority, true, rounds());
}

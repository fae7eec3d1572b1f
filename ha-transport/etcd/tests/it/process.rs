//! Processes that are killed and stopped, on an etcd that is, too.

use std::time::{Duration, Instant};

use steadfast_ha_etcd::{EtcdCoordinator, EtcdOptions};
use steadfast_ha_transport::NodeId;

use crate::etcd::Etcd;
use crate::nodes::{self, Nodes};

const ENDPOINTS: &str = "STEADFAST_TEST_ETCD_ENDPOINTS";
const LEASE: Duration = Duration::from_secs(1);

/// A node of the tests below.
#[test]
fn child() {
    nodes::child(|id: NodeId, _| {
        let endpoints = std::env::var(ENDPOINTS).expect("set");
        let mut options = EtcdOptions::new(endpoints.split(','));
        options.lease = LEASE;
        Box::new(EtcdCoordinator::new("processes", id, &options).expect("loopback"))
    });
}

fn begin(etcd: &Etcd) -> Nodes {
    Nodes::begin(vec![(ENDPOINTS, etcd.endpoints().join(","))])
}

fn pause(leases: u32) {
    let until = Instant::now() + leases * LEASE;
    while Instant::now() < until {
        std::thread::park_timeout(until - Instant::now());
    }
}

#[test]
fn what_was_acknowledged_outlives_leaders_and_members_of_etcd() {
    let rounds = if std::env::var_os("STEADFAST_SOAK").is_some() { 60 } else { 6 };
    let Some(mut etcd) = Etcd::start(3) else { return };
    let mut nodes = begin(&etcd);
    for round in 0..rounds {
        let (leader, epoch) = nodes.leader(0);
        // In every second round one of three members of etcd is gone as well.
        let member = round % 3;
        if round % 2 == 1 {
            etcd.kill(member);
        }
        if round % 3 == 2 {
            nodes.signal(leader, "-STOP");
            pause(3);
            nodes.signal(leader, "-CONT");
        } else {
            nodes.kill(leader);
            nodes.until_more();
            nodes.start(leader);
        }
        nodes.until_more();
        // Another one, or the same again, but not as if nothing had been.
        nodes.leader(epoch);
        if round % 2 == 1 {
            etcd.run(member);
        }
    }
    assert!(nodes.end() > 3);
}

#[test]
fn a_leader_goes_on_without_etcd_and_nobody_else_takes_over_before_it_is_back() {
    let Some(mut etcd) = Etcd::start(3) else { return };
    let mut nodes = begin(&etcd);
    let before = nodes.leader(0);
    // All of it is gone for longer than the lease lasts.
    (0..3).for_each(|at| etcd.kill(at));
    for _ in 0..4 {
        pause(1);
        nodes.until_more();
        assert_eq!(nodes.leader(0), before, "somebody else leads without etcd");
    }
    (0..3).for_each(|at| etcd.run(at));
    etcd.until_it_answers();
    nodes.until_more();
    // When it is back, fail-over works again.
    let (leader, epoch) = nodes.leader(0);
    nodes.kill(leader);
    nodes.until_more();
    nodes.start(leader);
    nodes.until_more();
    nodes.leader(epoch);
    // Without it nobody replaces a leader that is gone. It goes on when it is back; all in order.
    (0..3).for_each(|at| etcd.signal(at, "-STOP"));
    let (leader, epoch) = nodes.leader(0);
    nodes.kill(leader);
    // What had been acknowledged has been told by now.
    pause(1);
    let acknowledged = nodes.acknowledged();
    pause(3);
    assert_eq!(nodes.acknowledged(), acknowledged, "somebody leads whom nobody chose");
    (0..3).for_each(|at| etcd.signal(at, "-CONT"));
    nodes.until_more();
    nodes.start(leader);
    nodes.until_more();
    nodes.leader(epoch);
    nodes.end();
}

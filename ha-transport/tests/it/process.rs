use std::time::Duration;

use steadfast_ha_transport::LocalCoordinator;

use crate::nodes::{self, Nodes};

/// A node of the test below.
#[test]
fn child() {
    nodes::child(|id, dir| {
        let lease = Duration::from_millis(300);
        Box::new(LocalCoordinator::in_directory(dir.join("group"), id, lease).expect("there"))
    });
}

/// xorshift64*, for a seed that means the same for ever.
fn below(random: &mut u64, end: u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
}

/// Kills one or two of three at once, or stops one for a while, again and again; gives the last epoch.
fn survive(more: Vec<(&'static str, String)>) -> u64 {
    let rounds = if std::env::var_os("STEADFAST_SOAK").is_some() { 300 } else { 12 };
    let mut nodes = Nodes::begin(more);
    let (mut random, mut epoch) = (0x5eed, 0);
    for round in 0..rounds {
        let node = usize::try_from(below(&mut random, 3)).expect("small");
        std::thread::park_timeout(Duration::from_millis(below(&mut random, 150)));
        if round % 4 == 3 {
            // Long enough for another one to lead; then it finds that it does not any more.
            nodes.signal(node, "-STOP");
            std::thread::park_timeout(Duration::from_millis(700));
            nodes.signal(node, "-CONT");
        } else {
            nodes.kill(node);
            // Now and then two are gone, and nothing goes on until one is back.
            let other = (node + 1) % 3;
            let both = below(&mut random, 4) == 0;
            if both {
                nodes.kill(other);
            }
            std::thread::park_timeout(Duration::from_millis(below(&mut random, 400)));
            nodes.start(node);
            if both {
                nodes.start(other);
            }
        }
        nodes.until_more();
        epoch = nodes.leader(epoch.max(1) - 1).1;
    }
    nodes.end()
}

#[test]
fn what_was_acknowledged_outlives_killed_and_stopped_processes() {
    assert!(survive(Vec::new()) > 2, "nobody but the first ever led");
}

// The same where a node that comes back seldom finds in a log what it lacks.
#[test]
fn what_was_acknowledged_outlives_processes_that_are_killed_while_snapshots_are_sent() {
    assert!(survive(Nodes::that_trim()) > 2, "nobody but the first ever led");
}

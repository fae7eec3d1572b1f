use std::time::Duration;

use steadfast_ha_transport::testing::coordinator::{self, Nodes};
use steadfast_ha_transport::{Coordinator, LocalCoordinator};

const LEASE: Duration = Duration::from_millis(400);

#[test]
fn coordinators_in_memory_keep_the_contract() {
    coordinator::check(|nodes| {
        let all = LocalCoordinator::in_memory(nodes.iter().copied(), LEASE);
        all.map(|it| Box::new(it) as Box<dyn Coordinator>).collect::<Nodes>()
    });
}

#[test]
fn coordinators_in_a_directory_keep_the_contract() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut groups = 0;
    coordinator::check(|nodes| {
        groups += 1;
        let group = dir.path().join(groups.to_string());
        let at = |&id| LocalCoordinator::in_directory(&group, id, LEASE).expect("a directory");
        nodes.iter().map(|id| Box::new(at(id)) as Box<dyn Coordinator>).collect()
    });
}

use std::time::Duration;

use steadfast_ha_etcd::EtcdCoordinator;
use steadfast_ha_transport::Coordinator;
use steadfast_ha_transport::testing::coordinator;

use crate::etcd::Etcd;

fn check(members: usize) {
    let Some(etcd) = Etcd::start(members) else { return };
    // Longer than what a disk that others use, too, keeps etcd waiting.
    let options = etcd.options(Duration::from_secs(2));
    let mut groups = 0;
    coordinator::check(|nodes| {
        groups += 1;
        let group = format!("group {groups}");
        let at = |&id| EtcdCoordinator::new(&group, id, &options).expect("loopback");
        nodes.iter().map(|id| Box::new(at(id)) as Box<dyn Coordinator>).collect()
    });
}

#[test]
fn one_etcd_keeps_the_contract() {
    check(1);
}

#[test]
fn three_etcds_keep_the_contract() {
    check(3);
}

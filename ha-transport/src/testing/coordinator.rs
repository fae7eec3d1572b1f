//! What every coordinator must do, as tests to run on one of your own.
//!
//! ```
//! use std::time::Duration;
//! use steadfast_ha_transport::testing::coordinator::{self, Nodes};
//! use steadfast_ha_transport::{Coordinator, LocalCoordinator};
//!
//! coordinator::check(|nodes| {
//!     let all = LocalCoordinator::in_memory(nodes.iter().copied(), Duration::from_millis(300));
//!     all.map(|it| Box::new(it) as Box<dyn Coordinator>).collect::<Nodes>()
//! });
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::coordinator::{Coordinator, CoordinatorEvent};
use crate::group::{GroupRecord, Phase};
use crate::ids::{Epoch, NodeId, Version};
use crate::node::Swapped;
use crate::transport::Wake;

/// One coordinator for each of the nodes that were asked for.
pub type Nodes = Vec<Box<dyn Coordinator>>;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many swaps of each racing thread must be done.
const SWAPS: u64 = 25;

/// Holds a coordinator to the contract. `make` gives coordinators of these nodes, all of one group, which is another one
/// each time and has no record yet. It takes some ten leases, and short ones make it short.
///
/// # Panics
///
/// With what it does not keep.
pub fn check(mut make: impl FnMut(&[NodeId]) -> Nodes) {
    let mut group = |count| {
        let nodes: Vec<_> = (1..=count).map(NodeId).collect();
        make(&nodes).into_iter().zip(nodes).map(|(it, id)| At::new(it, id)).collect::<Vec<_>>()
    };
    a_group_begins_without_a_record(&mut group(2));
    of_swaps_that_race_one_is_done(group(4));
    changes_of_others_are_noticed(&mut group(2));
    a_lease_outlives_its_holder_as_long_as_it_says(group(3));
    a_lease_that_is_given_back_is_free_at_once(&mut group(2));
    a_candidate_has_the_lease_for_once(&mut group(2));
    a_lease_that_is_held_is_not_taken(group(2));
}

/// Counts wake-ups, so that whoever waits need not look again and again.
#[derive(Default)]
struct Woken(Mutex<bool>, Condvar);

impl Wake for Woken {
    fn wake(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }
}

/// A coordinator at its node.
struct At {
    id: NodeId,
    coordinator: Box<dyn Coordinator>,
    woken: Arc<Woken>,
    tickets: u64,
}

impl At {
    fn new(mut coordinator: Box<dyn Coordinator>, id: NodeId) -> Self {
        let woken = Arc::new(Woken::default());
        coordinator.start(Arc::clone(&woken) as Arc<dyn Wake>);
        Self { id, coordinator, woken, tickets: 0 }
    }

    /// What it says next; a driver polls when it is woken, and now and then.
    fn next(&mut self, until: Instant) -> Option<CoordinatorEvent> {
        loop {
            if let Some(event) = self.coordinator.poll() {
                return Some(event);
            }
            if Instant::now() >= until {
                return None;
            }
            let woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = Duration::from_millis(5);
            let waited = self.woken.1.wait_timeout_while(woken, pause, |woken| !*woken);
            *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
        }
    }

    /// The first event that is one of these.
    #[track_caller]
    fn wait<T>(&mut self, what: &str, is_it: impl Fn(CoordinatorEvent) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        while let Some(event) = self.next(until) {
            if let Some(found) = is_it(event) {
                return found;
            }
        }
        panic!("node {} waits for {what}", self.id);
    }

    /// The record; an answer may be one that was noticed, so it is asked until one is as new as what is known.
    #[track_caller]
    fn read(&mut self, at_least: Version) -> Option<(Version, GroupRecord)> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            self.coordinator.read();
            let answer = self.wait("the record", |event| match event {
                CoordinatorEvent::Record(version, record) => Some(Some((version, record))),
                CoordinatorEvent::NoRecord => Some(None),
                _ => None,
            });
            if answer.as_ref().map_or(Version(0), |it| it.0) >= at_least {
                return answer;
            }
        }
        panic!("node {} does not read what was written", self.id);
    }

    #[track_caller]
    fn swap(&mut self, expect: Version, record: &GroupRecord) -> Swapped {
        self.tickets += 1;
        let own = self.tickets;
        self.coordinator.swap(own, expect, record.clone());
        self.wait("what became of its swap", |event| match event {
            CoordinatorEvent::Swapped { ticket, swapped } if ticket == own => Some(swapped),
            _ => None,
        })
    }

    /// Swaps until it is known what became of it.
    #[track_caller]
    fn write(&mut self, expect: Version, record: &GroupRecord) -> Version {
        loop {
            match self.swap(expect, record) {
                Swapped::Done(version) => return version,
                // Its own, of which it was not told.
                Swapped::Conflict(version, current) if current == *record => return version,
                Swapped::Conflict(..) => panic!("node {} is alone and meets another one", self.id),
                Swapped::Unknown => {}
            }
        }
    }

    /// Whether it is told, up to a time, that nobody has the lease.
    fn is_expired(&mut self, until: Instant) -> bool {
        while let Some(event) = self.next(until) {
            if event == CoordinatorEvent::LeaseExpired {
                return true;
            }
        }
        false
    }

    /// Leads, and has the lease.
    #[track_caller]
    fn lead(&mut self) -> Version {
        let version = self.write(Version(0), &record(1, self.id));
        self.coordinator.lead(true);
        self.until_held();
        version
    }

    #[track_caller]
    fn until_held(&mut self) {
        let until = Instant::now() + PATIENCE + 5 * self.coordinator.lease();
        while self.coordinator.held_until().is_none_or(|held| held <= Instant::now()) {
            assert!(Instant::now() < until, "node {} does not get the lease", self.id);
            self.next(Instant::now() + Duration::from_millis(5));
        }
    }
}

/// A record that no other one is like.
fn record(epoch: u64, leader: NodeId) -> GroupRecord {
    let record = GroupRecord::new([1, 2, 3, 4].map(NodeId));
    GroupRecord { epoch: Epoch(epoch), leader, phase: Phase::Active, ..record }
}

fn a_group_begins_without_a_record(nodes: &mut [At]) {
    let [one, two] = nodes else { panic!("two were asked for") };
    assert_eq!(one.read(Version(0)), None, "it was to be a group without a record");
    let (first, second) = (record(1, NodeId(1)), record(2, NodeId(2)));
    let made = one.write(Version(0), &first);
    assert!(made > Version(0), "0 is the version of a record that does not exist");
    assert_eq!(two.read(made), Some((made, first.clone())));
    // What is expected is not there, so nothing happens, and it is said what is there.
    for wrong in [Version(0), Version(made.0 + 1)] {
        let refused = two.swap(wrong, &second);
        assert_eq!(refused, Swapped::Conflict(made, first.clone()), "expecting {wrong}");
    }
    let next = two.write(made, &second);
    assert!(next > made, "versions only grow");
    assert_eq!(one.read(next), Some((next, second.clone())));
    assert_eq!(one.swap(made, &first), Swapped::Conflict(next, second));
}

/// Each swap counts the epoch on by one, so a lost one would be missing at the end; and whoever reads or meets a record
/// finds one that is no older than what was done before he asked.
fn of_swaps_that_race_one_is_done(nodes: Vec<At>) {
    let newest = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let racing = |mut at: At| {
        let (newest, seen) = (Arc::clone(&newest), Arc::clone(&seen));
        let note = move |version: Version, record: &GroupRecord| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let known = seen.entry(version).or_insert_with(|| record.clone());
            assert_eq!(known, record, "{version:?} is of two records");
        };
        thread::spawn(move || {
            let (mut done, mut unknown) = (0, 0);
            let mut current: Option<(Version, GroupRecord)> = None;
            while done < SWAPS {
                let (expect, epoch) =
                    current.as_ref().map_or((Version(0), 0), |it| (it.0, it.1.epoch.0));
                let wanted = record(epoch + 1, at.id);
                let before = newest.load(Ordering::SeqCst);
                match at.swap(expect, &wanted) {
                    Swapped::Done(version) => {
                        note(version, &wanted);
                        newest.fetch_max(version.0, Ordering::SeqCst);
                        (done, current) = (done + 1, Some((version, wanted)));
                    }
                    Swapped::Conflict(version, record) => {
                        assert!(version.0 >= before, "{version:?} is older than v{before}");
                        assert_ne!(version, expect, "a conflict with what was expected");
                        note(version, &record);
                        current = Some((version, record));
                    }
                    Swapped::Unknown => {
                        unknown += 1;
                        current = at.read(Version(before)).or(current);
                    }
                }
            }
            (at, done, unknown)
        })
    };
    let threads: Vec<_> = nodes.into_iter().map(racing).collect();
    let ended: Vec<_> =
        threads.into_iter().map(|it| it.join().expect("the assertions hold")).collect();
    let (done, unknown) = ended.iter().fold((0, 0), |sum, it| (sum.0 + it.1, sum.1 + it.2));
    let mut at = ended.into_iter().next().expect("there are some").0;
    let end = at.read(Version(newest.load(Ordering::SeqCst))).expect("there were swaps").1.epoch.0;
    assert!((done..=done + unknown).contains(&end), "{done} swaps came to epoch {end}");
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let epochs: Vec<_> = seen.values().map(|record| record.epoch).collect();
    assert!(epochs.is_sorted_by(|a, b| a < b), "a later version is of an earlier epoch");
}

fn changes_of_others_are_noticed(nodes: &mut [At]) {
    let [one, two] = nodes else { panic!("two were asked for") };
    let mut version = Version(0);
    for epoch in 1..=5 {
        let wanted = record(epoch, one.id);
        version = one.write(version, &wanted);
        // Without being asked.
        two.wait("the change", |event| match event {
            CoordinatorEvent::Record(seen, record) if seen == version => {
                assert_eq!(record, wanted, "another one came with {seen:?}");
                Some(())
            }
            CoordinatorEvent::Record(seen, _) => {
                assert!(seen < version, "nobody wrote {seen:?}");
                None
            }
            _ => None,
        });
    }
}

/// Polls some nodes until a time, as their drivers do; one at least is told that nobody has the lease, or none.
fn told(nodes: &mut [At], until: Instant) -> Option<(NodeId, Instant)> {
    while Instant::now() < until {
        for at in nodes.iter_mut() {
            if at.is_expired(Instant::now() + Duration::from_millis(2)) {
                return Some((at.id, Instant::now()));
            }
        }
    }
    None
}

fn a_lease_outlives_its_holder_as_long_as_it_says(mut nodes: Vec<At>) {
    let lease = nodes[0].coordinator.lease();
    nodes[0].lead();
    // As long as it works nobody else is told anything. What was said before it led is over.
    let settled = Instant::now() + lease;
    while Instant::now() < settled {
        told(&mut nodes, Instant::now() + Duration::from_millis(10));
    }
    let expired = told(&mut nodes, Instant::now() + 3 * lease);
    assert_eq!(expired, None, "the lease is held");
    let held = nodes[0].coordinator.held_until();
    let held = held.expect("it was held until now");
    let gone = Instant::now();
    assert!(held > gone && held <= gone + lease, "it is held for a lease at most");
    drop(nodes.remove(0));
    let expired = told(&mut nodes, gone + 4 * lease + PATIENCE);
    let (by, at) = expired.expect("others are told that the lease has expired");
    assert!(at >= held, "node {by} is told {:?} too early", held - at);
    assert!(at <= gone + 4 * lease, "it takes {:?} until it is seen", at - gone);
    // Again, as long as that is so.
    assert!(told(&mut nodes, Instant::now() + 10 * lease).is_some(), "it is said once only");
}

fn a_lease_that_is_given_back_is_free_at_once(nodes: &mut [At]) {
    let lease = nodes[0].coordinator.lease();
    nodes[0].lead();
    let settled = Instant::now() + 2 * lease;
    while Instant::now() < settled {
        told(nodes, Instant::now() + Duration::from_millis(10));
    }
    let held = nodes[0].coordinator.held_until().expect("it was held until now");
    nodes[0].coordinator.lead(false);
    assert_eq!(nodes[0].coordinator.held_until(), None);
    let (_, others) = nodes.split_at_mut(1);
    assert!(told(others, held).is_some(), "giving a lease back is no faster than losing it");
}

fn a_candidate_has_the_lease_for_once(nodes: &mut [At]) {
    let [one, two] = nodes else { panic!("two were asked for") };
    let lease = one.coordinator.lease();
    // Time for what is said to whom is new.
    let settled = Instant::now() + 2 * lease;
    while two.is_expired(settled) {}
    let version = one.write(Version(0), &record(1, one.id));
    let held = one.coordinator.held_until().expect("a candidate has the lease");
    two.coordinator.lead(true);
    loop {
        let is_taken = two.coordinator.held_until().is_some();
        if Instant::now() >= held {
            break;
        }
        assert!(!is_taken, "the candidate has as long as a lease lasts");
        two.next(Instant::now() + Duration::from_millis(5));
    }
    // And no longer, as it does not lead.
    two.until_held();
    // The next candidate has it, whoever had it before.
    one.write(version, &record(2, one.id));
    assert!(one.coordinator.held_until().is_some_and(|held| held > Instant::now()));
    let until = Instant::now() + PATIENCE;
    while two.coordinator.held_until().is_some_and(|held| held > Instant::now()) {
        assert!(Instant::now() < until, "two have the lease");
        two.next(Instant::now() + Duration::from_millis(5));
    }
}

fn a_lease_that_is_held_is_not_taken(mut nodes: Vec<At>) {
    let lease = nodes[0].coordinator.lease();
    nodes[0].lead();
    nodes[1].coordinator.lead(true);
    let until = Instant::now() + 2 * lease;
    while Instant::now() < until {
        told(&mut nodes, Instant::now() + Duration::from_millis(10));
        assert_eq!(nodes[1].coordinator.held_until(), None, "two have the lease");
    }
    nodes[0].until_held();
    // When it is free, whoever wants it has it.
    drop(nodes.remove(0));
    nodes[0].until_held();
}

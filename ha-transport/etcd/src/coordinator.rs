//! The coordinator and its threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use steadfast_ha_transport::{Coordinator, CoordinatorEvent, GroupRecord, NodeId, Version, Wake};

use crate::lease;
use crate::options::{EtcdError, EtcdOptions};
use crate::shared::Shared;

/// How often what fails at once is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// A node's register and lease in etcd.
///
/// It has three threads: for what the node asks for, for the lease, and for a watch, which says that it is time to look.
/// Without the watch it looks four times in a lease. Dropping it waits until a lease that was given back is, or every
/// member has had the time for it and for the renewal before: [`EtcdOptions::request`] each.
///
/// # Example
///
/// ```
/// use steadfast_ha_etcd::{EtcdCoordinator, EtcdOptions};
/// use steadfast_ha_transport::{Coordinator, NodeId};
///
/// // Nothing is needed of etcd yet: it is tried until it answers.
/// let options = EtcdOptions::new(["http://127.0.0.1:2379"]);
/// let coordinator = EtcdCoordinator::new("orders", NodeId(1), &options)?;
/// assert_eq!(coordinator.lease().as_secs(), 3);
/// assert_eq!(coordinator.health().answered(), None);
/// // Over a network, only with TLS.
/// let options = EtcdOptions::new(["http://10.0.0.1:2379"]);
/// assert!(EtcdCoordinator::new("orders", NodeId(1), &options).is_err());
/// # Ok::<(), steadfast_ha_etcd::EtcdError>(())
/// ```
#[derive(Debug)]
pub struct EtcdCoordinator {
    shared: Arc<Shared>,
    work: Sender<Work>,
    leases: Sender<lease::Command>,
    holding: Option<JoinHandle<()>>,
    watching: JoinHandle<()>,
}

/// What the node asks for.
#[derive(Debug)]
enum Work {
    Read,
    Swap(u64, Version, GroupRecord),
    Stop,
}

impl EtcdCoordinator {
    /// That of a node of a group, which has a name of its own under [`EtcdOptions::prefix`]. Nothing is asked of etcd
    /// before the replica starts, and etcd need not be there then.
    ///
    /// # Errors
    ///
    /// [`EtcdError`] if the options are none that work, or a thread cannot be started.
    pub fn new(group: &str, node: NodeId, options: &EtcdOptions) -> Result<Self, EtcdError> {
        let shared = Arc::new(Shared::new(group, node, options)?);
        let (work, to_do) = unbounded();
        let (leases, to_hold) = unbounded();
        let of = |what: &str| thread::Builder::new().name(format!("sf-etcd-{what}"));
        let holding = {
            let shared = Arc::clone(&shared);
            of("lease").spawn(move || lease::hold(&shared, &to_hold)).map_err(EtcdError::Thread)?
        };
        let working = Arc::clone(&shared);
        // It ends when it is told to; nobody waits for what it still asks.
        drop(of("work").spawn(move || work_on(&working, &to_do)).map_err(EtcdError::Thread)?);
        let watching = {
            let shared = Arc::clone(&shared);
            of("watch").spawn(move || watch(&shared)).map_err(EtcdError::Thread)?
        };
        Ok(Self { shared, work, leases, holding: Some(holding), watching })
    }

    /// How it gets on with etcd, for whoever looks after it while the replica has the coordinator.
    pub fn health(&self) -> EtcdHealth {
        EtcdHealth { shared: Arc::clone(&self.shared) }
    }
}

/// How a coordinator gets on with etcd.
#[derive(Clone, Debug)]
pub struct EtcdHealth {
    shared: Arc<Shared>,
}

impl EtcdHealth {
    /// When etcd answered last. While it works that is at most a quarter of a lease ago.
    pub fn answered(&self) -> Option<Instant> {
        self.shared.state().answered
    }

    /// Why the last request failed, if it did.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }

    /// Until when this node has the lease for certain; see [`Coordinator::held_until`].
    pub fn held_until(&self) -> Option<Instant> {
        self.shared.state().held_until
    }
}

/// Does what the node asks for, and looks now and then.
fn work_on(shared: &Shared, work: &Receiver<Work>) {
    let (mut looked, mut is_asked) = (Instant::now(), false);
    loop {
        let every = if is_asked { AGAIN } else { shared.lease() / 4 };
        match work.recv_timeout((looked + every).saturating_duration_since(Instant::now())) {
            Ok(Work::Swap(ticket, expect, record)) => {
                shared.swap(ticket, expect, &record);
                continue;
            }
            Ok(Work::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if shared.wake.get().is_none() => {
                looked = Instant::now();
                continue;
            }
            Ok(Work::Read) | Err(RecvTimeoutError::Timeout) => {}
        }
        looked = Instant::now();
        is_asked |= shared.asked.swap(false, Ordering::SeqCst);
        if shared.look(is_asked).is_ok() {
            is_asked = false;
        }
    }
}

/// Looks whenever something changes. Watches end without a word when a connection does, so each lasts for a while only.
fn watch(shared: &Shared) {
    while !shared.stopped.load(Ordering::SeqCst) {
        if shared.wake.get().is_none() {
            thread::park_timeout(AGAIN);
            continue;
        }
        let mut is_canceled = false;
        let watched = shared.look(false).and_then(|revision| {
            let body = shared.watch_from(revision + 1);
            shared.client.stream("/v3/watch", &body, shared.lease(), |message| {
                if !message["events"].is_null() {
                    // If this fails, the next look will not.
                    shared.look(false).ok();
                }
                is_canceled = message["canceled"] == true;
                is_canceled || shared.stopped.load(Ordering::SeqCst)
            })
        });
        // Who may not watch, or cannot, does not try it all the time.
        if watched.is_err() || is_canceled {
            thread::park_timeout(shared.lease() / 16);
        }
    }
}

impl Coordinator for EtcdCoordinator {
    fn start(&mut self, wake: Arc<dyn Wake>) {
        // The trait says that this comes once.
        self.shared.wake.set(wake).ok();
        self.watching.thread().unpark();
    }

    fn read(&mut self) {
        // One that is not on its way yet stands for all.
        if !self.shared.asked.swap(true, Ordering::SeqCst) {
            self.work.send(Work::Read).ok();
        }
    }

    fn swap(&mut self, ticket: u64, expect: Version, record: GroupRecord) {
        // If its thread is gone, so is this.
        self.work.send(Work::Swap(ticket, expect, record)).ok();
    }

    fn lead(&mut self, leads: bool) {
        let mut state = self.shared.state();
        let led = std::mem::replace(&mut state.leads, leads);
        let command = if leads {
            lease::Command::Hold
        } else {
            state.held_until = None;
            // A candidate that gives up leaves its lease to end: it may have been another's for long.
            lease::Command::GiveBack(if led { state.lease.take() } else { None })
        };
        drop(state);
        self.leases.send(command).ok();
    }

    fn poll(&mut self) -> Option<CoordinatorEvent> {
        self.shared.state().events.pop_front()
    }

    fn lease(&self) -> Duration {
        self.shared.lease()
    }

    fn held_until(&self) -> Option<Instant> {
        self.shared.state().held_until
    }
}

impl Drop for EtcdCoordinator {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.work.send(Work::Stop).ok();
        self.leases.send(lease::Command::Stop).ok();
        self.watching.thread().unpark();
        if let Some(holding) = self.holding.take() {
            // If it panicked, that was said where it did.
            holding.join().ok();
        }
    }
}

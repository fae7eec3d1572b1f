//! The thread that syncs at intervals and notices idleness.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TrySendError};

use crate::group::Want;
use crate::ids::Position;
use crate::shared::Shared;

/// After this long without an append, the journal is synced and a durable slot written, once.
const IDLE: Duration = Duration::from_millis(20);

/// Why the background thread is woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Something was appended after a time of idleness.
    Watch,
    /// Much was appended without a sync.
    Sync,
}

/// Runs the watcher until the journal is closed.
#[derive(Debug)]
pub(crate) struct Watcher {
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, std::io::Error> {
        let (sender, receiver) = crossbeam_channel::bounded(2);
        let watched = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("journal-watcher".to_owned())
            .spawn(move || run(&watched, &receiver))?;
        *shared.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(Self { thread: Some(thread) })
    }

    pub(crate) fn stop(&mut self, shared: &Shared) {
        drop(shared.watch.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            // The thread holds no lock while it sleeps, and a failure is in the poison.
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Wakes the background thread; `false` if there is none.
    pub(crate) fn wake_watcher(&self, wake: Wake) -> bool {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.as_ref().is_some_and(|sender| {
            // A full channel is a wake-up that is on its way already.
            !matches!(sender.try_send(wake), Err(TrySendError::Disconnected(_)))
        })
    }

    /// What 20 ms of idleness are for. A failure is in the poison, where everybody finds it.
    pub(crate) fn run_idle(&self) {
        let appended = Position::new(self.published.appended.load(Ordering::Acquire));
        drop(self.wait(appended, Want::Slot));
    }
}

fn run(shared: &Shared, wakes: &Receiver<Wake>) {
    while wakes.recv().is_ok() {
        if watch(shared, wakes).is_err() {
            return;
        }
    }
}

/// Watches until the journal is idle and its idle work done; the error says that it is closed.
fn watch(shared: &Shared, wakes: &Receiver<Wake>) -> Result<(), RecvTimeoutError> {
    let mut seen = shared.published.appended.load(Ordering::Acquire);
    let mut seen_at = Instant::now();
    let mut synced_at = Instant::now();
    loop {
        let interval = shared.interval();
        let until_sync = interval.map(|interval| interval.saturating_sub(synced_at.elapsed()));
        match wakes.recv_timeout(until_sync.map_or(IDLE, |left| left.min(IDLE))) {
            Err(RecvTimeoutError::Timeout) | Ok(Wake::Watch) => {}
            Ok(Wake::Sync) => {
                let appended = shared.published.appended.load(Ordering::Acquire);
                drop(shared.wait(Position::new(appended), Want::Durable));
            }
            Err(closed @ RecvTimeoutError::Disconnected) => return Err(closed),
        }
        let appended = shared.published.appended.load(Ordering::Acquire);
        if appended != seen {
            (seen, seen_at) = (appended, Instant::now());
        }
        if seen_at.elapsed() >= IDLE {
            shared.run_idle();
            let mut writer = shared.lock();
            if writer.end.position == seen || writer.poison.is_some() {
                writer.watched = false;
                return Ok(());
            }
        } else if interval.is_some_and(|interval| synced_at.elapsed() >= interval) {
            drop(shared.wait(Position::new(appended), Want::Durable));
            synced_at = Instant::now();
        } else {
            // What is queued in memory does not survive the process.
            drop(shared.wait(Position::new(appended), Want::Stored));
        }
    }
}

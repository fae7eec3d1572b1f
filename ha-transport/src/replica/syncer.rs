//! Waiting for the disk.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::ReplicaLog;
use super::log::Place;
use crate::ids::{Chain, Seq};
use crate::transport::Wake;

/// The thread that waits until what was appended is durable, so that more can be appended meanwhile.
pub(super) struct Syncer {
    places: Option<Sender<(Place, Seq, Chain)>>,
    done: Receiver<Result<(Seq, Chain), String>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(log: &ReplicaLog, wake: Arc<dyn Wake>) -> Result<Self, String> {
        let (places, appended) = unbounded::<(Place, Seq, Chain)>();
        let (tell, done) = unbounded();
        let wait = log.waiter();
        let work = move || {
            while let Ok(mut last) = appended.recv() {
                // One wait for all that has come meanwhile.
                while let Ok(next) = appended.try_recv() {
                    last = next;
                }
                let (place, seq, chain) = last;
                let waited = wait(place).map(|()| (seq, chain)).map_err(|error| error.to_string());
                let failed = waited.is_err();
                if tell.send(waited).is_err() {
                    return;
                }
                wake.wake();
                if failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("sf-replica-sync".to_owned()).spawn(work);
        let thread = Some(thread.map_err(|error| error.to_string())?);
        Ok(Self { places: Some(places), done, thread })
    }

    pub(super) fn wait_for(&self, place: Place, seq: Seq, chain: Chain) {
        if let Some(places) = &self.places {
            // If the thread is gone, it has said why.
            places.send((place, seq, chain)).ok();
        }
    }

    pub(super) fn done(&self) -> Option<Result<(Seq, Chain), String>> {
        self.done.try_recv().ok()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.places = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

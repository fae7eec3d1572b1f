//! Makes the pages of a map writable ahead of whoever streams into it, in a thread of its own.
//!
//! The first store into a page of a shared map faults, and the file system prepares the page for being
//! written: for a stream of small groups that is more than half of all work. Here another processor
//! does it, a little ahead of the writer. It is a hint in every respect: a page that is not ready
//! faults when it is stored to.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use memmap2::MmapRaw;

/// So many bytes are made writable at once.
const STEP_BYTES: usize = 64 << 10;

/// Makes a range of a map writable. A hint: where it is not known, each page faults by itself.
pub(crate) fn populate(map: &MmapRaw, range: Range<usize>) {
    #[cfg(target_os = "linux")]
    if !range.is_empty() {
        drop(map.advise_range(memmap2::Advice::PopulateWrite, range.start, range.len()));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (map, range);
}

/// What the thread is asked for.
#[derive(Debug, Default)]
struct Request {
    /// What nobody is at yet.
    range: Range<usize>,
    ended: bool,
}

impl Request {
    /// The next step; the caller makes its pages writable.
    fn take(&mut self) -> Option<Range<usize>> {
        let start = self.range.start;
        let end = self.range.end.min(start + STEP_BYTES);
        self.range.start = start.max(end);
        (start < end).then_some(start..end)
    }
}

#[derive(Debug)]
struct Pages {
    map: Arc<MmapRaw>,
    request: Mutex<Request>,
    requested: Condvar,
    /// Pages before this were made writable.
    ready: AtomicUsize,
}

impl Pages {
    fn request(&self) -> MutexGuard<'_, Request> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut request = self.request();
        while !request.ended {
            if let Some(step) = request.take() {
                drop(request);
                populate(&self.map, step.clone());
                self.ready.fetch_max(step.end, Ordering::Relaxed);
                request = self.request();
            } else {
                request = self.requested.wait(request).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// The thread of one map. Ends, and lets go of the map, when this is dropped.
#[derive(Debug)]
pub(crate) struct Pager {
    pages: Arc<Pages>,
    thread: Option<JoinHandle<()>>,
}

impl Pager {
    /// Starts the thread; `None` if the system has none to give.
    pub(crate) fn start(map: &Arc<MmapRaw>) -> Option<Self> {
        let pages = Arc::new(Pages {
            map: Arc::clone(map),
            request: Mutex::default(),
            requested: Condvar::new(),
            ready: AtomicUsize::new(0),
        });
        let run = Arc::clone(&pages);
        let thread = std::thread::Builder::new().name("journal-pager".to_owned());
        let thread = thread.spawn(move || run.run()).ok()?;
        Some(Self { pages, thread: Some(thread) })
    }

    /// Asks for the pages from `from` to `to`, but for those that were asked for before.
    pub(crate) fn ask(&self, from: usize, to: usize) {
        let mut request = self.pages.request();
        request.range = request.range.start.max(from)..to;
        drop(request);
        self.pages.requested.notify_one();
    }

    /// Takes a step over from the thread, which has fallen behind: of what follows `from`, and not what
    /// it is at itself. `false` if nothing is left to take.
    pub(crate) fn help(&self, from: usize) -> bool {
        let step = {
            let mut request = self.pages.request();
            request.range.start = request.range.start.max(from);
            request.take()
        };
        step.map(|step| populate(&self.pages.map, step)).is_some()
    }

    /// Up to where pages were made writable, the but for what it was helped with.
    pub(crate) fn ready(&self) -> usize {
        self.pages.ready.load(Ordering::Relaxed)
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.pages.request().ended = true;
        self.pages.requested.notify_one();
        if let Some(thread) = self.thread.take() {
            // What it did was a hint.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap2::MmapOptions;

    #[test]
    fn pages_that_are_asked_for_become_ready_and_keep_their_bytes() {
        const LEN: usize = 1 << 20;
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(1 << 20).expect("room");
        let map = Arc::new(MmapOptions::new().len(LEN).map_raw(&file).expect("mappable"));
        std::os::unix::fs::FileExt::write_all_at(&file, b"kept", 4096).expect("room");
        let pager = Pager::start(&map).expect("a thread");
        for end in [300_000, LEN] {
            pager.ask(0, end);
            while pager.ready() < end {
                std::thread::yield_now();
            }
        }
        drop(pager);
        assert_eq!(Arc::strong_count(&map), 1, "the thread has let go of the map");
        let mut bytes = [0; 5];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 4096).expect("readable");
        assert_eq!(&bytes, b"kept\0");
    }
}

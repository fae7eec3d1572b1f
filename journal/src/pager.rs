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
use std::time::{Duration, Instant};

use memmap2::MmapRaw;

/// So many bytes are made writable at once.
const STEP_BYTES: usize = 64 << 10;

/// How long the thread dozes before it looks for a request by itself. A stream of 150 MB/s fills 75 KB
/// meanwhile, a part of what is ready by then.
const DOZE: Duration = Duration::from_micros(500);

/// If requests come faster than this, dozing would miss them: then the thread sleeps, and is woken.
const DOZE_FOR: Duration = Duration::from_millis(1);

/// After so many looks without a request the thread sleeps until it is woken: nobody streams any more.
const DOZES_MAX: u32 = 20;

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
    /// Whether the thread sleeps until it is woken.
    sleeps: bool,
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
        let (mut dozes, mut done_at) = (0, Instant::now());
        while !request.ended {
            if let Some(step) = request.take() {
                drop(request);
                populate(&self.map, step.clone());
                self.ready.fetch_max(step.end, Ordering::Relaxed);
                request = self.request();
                if request.range.is_empty() {
                    let before = std::mem::replace(&mut done_at, Instant::now());
                    dozes = if done_at - before < DOZE_FOR { DOZES_MAX } else { 0 };
                }
            } else if dozes < DOZES_MAX {
                // Who streams asks again and again, and to wake somebody takes it longer than several
                // groups do: looking is for the thread.
                dozes += 1;
                let woken = self.requested.wait_timeout(request, DOZE);
                request = woken.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                request.sleeps = true;
                request = self.requested.wait(request).unwrap_or_else(PoisonError::into_inner);
                (request.sleeps, dozes) = (false, 0);
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
        let sleeps = request.sleeps;
        drop(request);
        if sleeps {
            self.pages.requested.notify_one();
        }
    }

    /// Takes a step over from the thread, which has fallen behind: of what follows `from`, and not what
    /// it is at itself. Does nothing if nothing is left to take.
    pub(crate) fn help(&self, from: usize) {
        let step = {
            let mut request = self.pages.request();
            request.range.start = request.range.start.max(from);
            request.take()
        };
        if let Some(step) = step {
            populate(&self.pages.map, step.clone());
            // Else whoever helps once helps again with every group, and leaves nothing to the thread.
            self.pages.ready.fetch_max(step.end, Ordering::Relaxed);
        }
    }

    /// Up to where pages were made writable, but for the step that the thread is at.
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
            // The next request wakes it.
            while !pager.pages.request().sleeps {
                std::thread::yield_now();
            }
        }
        drop(pager);
        assert_eq!(Arc::strong_count(&map), 1, "the thread has let go of the map");
        let mut bytes = [0; 5];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 4096).expect("readable");
        assert_eq!(&bytes, b"kept\0");
    }

    #[test]
    fn whoever_helps_takes_one_step_and_has_its_pages() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(3 * STEP_BYTES as u64).expect("room");
        let map = MmapOptions::new().len(3 * STEP_BYTES).map_raw(&file).expect("mappable");
        let request = Mutex::new(Request { range: 0..2 * STEP_BYTES, ..Request::default() });
        let (requested, ready) = (Condvar::new(), AtomicUsize::new(0));
        let pages = Arc::new(Pages { map: Arc::new(map), request, requested, ready });
        let pager = Pager { pages, thread: None };
        for steps in [1, 2, 2] {
            pager.help(0);
            assert_eq!(pager.ready(), steps * STEP_BYTES);
        }
        pager.ask(0, 3 * STEP_BYTES);
        assert_eq!(pager.pages.request().range, 2 * STEP_BYTES..3 * STEP_BYTES);
    }
}

//! What waits to be polled.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::transport::{Lane, Wake};

/// Items from many threads, for one that polls: those of lower lanes first. It is unbounded itself; whoever puts
/// something in keeps a budget.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    shared: Arc<Shared<T>>,
}

/// Puts items into an inbox.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    some: Condvar,
}

#[derive(Debug)]
struct State<T> {
    lanes: [VecDeque<T>; 3],
    woken: bool,
    /// Whether nobody polls any more.
    closed: bool,
}

/// What comes next.
pub(crate) enum Next<T> {
    Item(T),
    /// Somebody wants whoever polls to look up.
    Wake,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock can stop halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let lanes = [const { VecDeque::new() }; 3];
        let state = Mutex::new(State { lanes, woken: false, closed: false });
        Self { shared: Arc::new(Shared { state, some: Condvar::new() }) }
    }

    pub(crate) fn sender(&self) -> Sender<T> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    /// The next item, until a time.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Option<Next<T>> {
        let mut state = self.shared.state();
        loop {
            if std::mem::take(&mut state.woken) {
                return Some(Next::Wake);
            }
            if let Some(item) = state.lanes.iter_mut().find_map(VecDeque::pop_front) {
                return Some(Next::Item(item));
            }
            let some = &self.shared.some;
            state = match deadline {
                None => some.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    some.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.shared.state().closed = true;
    }
}

impl<T> Sender<T> {
    /// Puts an item in; says whether anybody will poll it.
    pub(crate) fn send(&self, lane: Lane, item: T) -> bool {
        let mut state = self.shared.state();
        if state.closed {
            return false;
        }
        state.lanes[lane as usize].push_back(item);
        drop(state);
        self.shared.some.notify_one();
        true
    }

    /// Whether both put into the same inbox.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Send> Wake for Sender<T> {
    fn wake(&self) {
        self.shared.state().woken = true;
        self.shared.some.notify_one();
    }
}

//! What waits to be polled.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::transport::{Lane, Wake};
use crate::yields::Yields;

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
    yields: Yields,
}

#[derive(Debug)]
struct State<T> {
    lanes: [VecDeque<T>; 3],
    woken: bool,
    /// Whether whoever polls sleeps: nobody else needs to be notified, and that costs a system call.
    sleeps: bool,
    /// Whether nobody polls any more.
    closed: bool,
}

/// What comes next.
pub(crate) enum Next<T> {
    Item(T),
    /// Somebody wants whoever polls to look up.
    Wake,
}

impl<T> State<T> {
    fn next(&mut self) -> Option<Next<T>> {
        if std::mem::take(&mut self.woken) {
            return Some(Next::Wake);
        }
        self.lanes.iter_mut().find_map(VecDeque::pop_front).map(Next::Item)
    }
}

impl<T> Shared<T> {
    /// Lets whoever polls look again, after something was put in.
    fn notify(&self, mut state: MutexGuard<'_, State<T>>) {
        let sleeps = std::mem::take(&mut state.sleeps);
        drop(state);
        if sleeps {
            self.some.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock can stop halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let lanes = [const { VecDeque::new() }; 3];
        let state = Mutex::new(State { lanes, woken: false, sleeps: false, closed: false });
        Self { shared: Arc::new(Shared { state, some: Condvar::new(), yields: Yields::new() }) }
    }

    pub(crate) fn sender(&self) -> Sender<T> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    /// The next item, until a time.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Option<Next<T>> {
        let found = self.shared.state().next();
        let is_over = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        if found.is_some() || is_over() {
            return found;
        }
        let found = self.shared.yields.until(|| self.shared.state().next());
        if found.is_some() {
            return found;
        }
        let mut state = self.shared.state();
        loop {
            let found = state.next();
            if found.is_some() {
                return found;
            }
            let some = &self.shared.some;
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            state.sleeps = true;
            state = match left {
                None => some.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    some.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.sleeps = false;
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
        self.shared.notify(state);
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
        let mut state = self.shared.state();
        state.woken = true;
        self.shared.notify(state);
    }
}

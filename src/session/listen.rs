//! Listening to a session.

use super::Session;
use crate::events::{Event, ListenerId};

impl Session {
    /// Calls `listener` with everything that each commit from now on does, when the commit is done.
    ///
    /// A listener reads: it gets events, not the session. It is told of commits of this process only: opening
    /// a session replays nothing to it. When it is called, a commit on disk is in the journal; whether it is
    /// durable the session's level says. If it panics, the commit stands, and no listener is called again.
    ///
    /// # Example
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use steadfast::Event;
    /// use steadfast::prelude::*;
    ///
    /// #[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
    /// struct Order { id: u64 }
    /// ruleset!(shop = 1: ; facts: Order);
    ///
    /// let mut session = Session::memory(shop())?;
    /// let orders = Arc::new(Mutex::new(Vec::new()));
    /// let seen = Arc::clone(&orders);
    /// let listener = session.listen(move |event| {
    ///     if let Event::Inserted { value, .. } = event
    ///         && let Ok(Some(order)) = value.read::<Order>()
    ///     {
    ///         seen.lock().unwrap().push(order.id);
    ///     }
    /// });
    /// session.insert(Order { id: 7 })?;
    /// assert_eq!(*orders.lock().unwrap(), [7]);
    /// session.end_listener(listener);
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn listen(&mut self, listener: impl FnMut(&Event<'_>) + Send + 'static) -> ListenerId {
        let id = self.listeners.add(Box::new(listener));
        self.recorder.heard.get_or_insert_default();
        id
    }

    /// Calls a listener no more; says whether it was called until now.
    pub fn end_listener(&mut self, listener: ListenerId) -> bool {
        let ended = self.listeners.remove(listener);
        if self.listeners.is_empty() {
            self.recorder.heard = None;
        }
        ended
    }

    /// Tells the listeners of the commit that was made.
    #[inline]
    pub(super) fn tell_listeners(&mut self) {
        if self.recorder.heard.is_some() {
            self.tell_of_commit();
        }
    }

    #[inline(never)] // most sessions have no listeners, and there are many commits
    fn tell_of_commit(&mut self) {
        let Some(heard) = &mut self.recorder.heard else { return };
        let mut told = std::mem::take(heard);
        let mut listeners = std::mem::take(&mut self.listeners);
        listeners.tell(&told, &self.engine);
        self.listeners = listeners;
        if let Some(heard) = &mut self.recorder.heard {
            told.clear();
            *heard = told;
        }
    }
}

//! One TCP connection.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Item;
use super::wire::{Reader, Wire};
use crate::budget::Budget;
use crate::inbox::Sender;
use crate::transport::{CloseReason, Frame, Lane, LinkId, SendError};
use crate::yields::Yields;

/// One end of a connection: frames that wait to be written, and how much was read and not handed out.
#[derive(Debug)]
pub(super) struct Link {
    id: LinkId,
    wire: Wire,
    out: [Budget; 3],
    read: [Budget; 3],
    state: Mutex<State>,
    /// Something to write, something handed out, or the end.
    changed: Condvar,
    yields: Yields,
}

#[derive(Debug, Default)]
struct State {
    waiting: [VecDeque<Frame>; 3],
    /// Whether whoever writes sleeps: to notify nobody costs a system call, too.
    sleeps: bool,
    closed: Option<CloseReason>,
}

/// What is before a frame: its lane and its length.
const HEAD_BYTES: usize = 5;
/// Frames are written together as long as they have no more bytes, and read so many at once.
const TOGETHER: usize = 64 << 10;

/// Frames that go out together.
#[derive(Debug, Default)]
struct Outgoing {
    frames: Vec<(Lane, Frame)>,
    /// Their bytes, but for those of a long one, which is the last.
    bytes: Vec<u8>,
}

impl Link {
    pub(super) fn new(id: LinkId, wire: Wire) -> Self {
        let (out, read) = (Lane::ALL.map(Budget::of), Lane::ALL.map(Budget::of));
        let (state, changed, yields) = (Mutex::default(), Condvar::new(), Yields::new());
        Self { id, wire, out, read, state, changed, yields }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, if it has not ended; says why it did first.
    pub(super) fn close(&self, why: &CloseReason) -> CloseReason {
        let mut state = self.state();
        let first = state.closed.get_or_insert_with(|| why.clone()).clone();
        drop(state);
        self.changed.notify_all();
        // It may be gone already.
        self.wire.stream().shutdown(Shutdown::Both).ok();
        first
    }

    pub(super) fn send(&self, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let mut state = self.state();
        if state.closed.is_some() {
            return Err(SendError::Gone(frame));
        }
        if !self.out[lane as usize].take(frame.len()) {
            return Err(SendError::Full(frame));
        }
        state.waiting[lane as usize].push_back(frame);
        let sleeps = state.sleeps;
        drop(state);
        if sleeps {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Writes what waits, the lower lanes first, until the end.
    pub(super) fn write_all(&self, to_inbox: &Sender<Item>) {
        let mut out = Outgoing::default();
        while self.next_to_write(&mut out) {
            if self.write(&mut out).is_err() {
                self.close(&CloseReason::Lost);
                return;
            }
            for (lane, frame) in out.frames.drain(..) {
                if self.out[lane as usize].give_back(frame.len()) {
                    to_inbox.send(Lane::Control, Item::Writable { link: self.id, lane });
                }
            }
        }
    }

    /// Waits until there is something to write; says whether the link is still there.
    fn next_to_write(&self, out: &mut Outgoing) -> bool {
        // Nothing, then that it is over.
        let mut look = |state: &mut State| match &state.closed {
            Some(_) => Some(false),
            None => out.take(&mut state.waiting).then_some(true),
        };
        let found = look(&mut self.state());
        let found = found.or_else(|| self.yields.until(|| look(&mut self.state())));
        if let Some(found) = found {
            return found;
        }
        let mut state = self.state();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            state.sleeps = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleeps = false;
        }
    }

    fn write(&self, out: &mut Outgoing) -> io::Result<()> {
        let long = out.gather();
        self.wire.write(&out.bytes, long.as_deref().unwrap_or_default())
    }

    /// Reads frames until the end.
    pub(super) fn read_all(&self, to_inbox: &Sender<Item>, frame_bytes_max: usize) {
        let mut stream = BufReader::with_capacity(TOGETHER, self.wire.reader());
        loop {
            let mut head = [0; HEAD_BYTES];
            if stream.read_exact(&mut head).is_err() {
                return;
            }
            let [lane, length @ ..] = head;
            let length = u32::from_le_bytes(length) as usize;
            let Some(lane) = Lane::of(lane).filter(|_| length <= frame_bytes_max) else {
                self.close(&CloseReason::Broken);
                return;
            };
            if !self.wait_for_room(lane, length) {
                return;
            }
            let Some(frame) = read_frame(&mut stream, length) else { return };
            if !to_inbox.send(lane, Item::Frame { link: self.id, lane, frame }) {
                return;
            }
        }
    }

    /// Waits until enough of what was read is handed out; says whether the link is still there.
    fn wait_for_room(&self, lane: Lane, length: usize) -> bool {
        if self.read[lane as usize].take(length) {
            return true;
        }
        let mut state = self.state();
        while state.closed.is_none() {
            if self.read[lane as usize].take(length) {
                return true;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    /// A frame was handed out.
    pub(super) fn handed_out(&self, lane: Lane, length: usize) {
        if self.read[lane as usize].give_back(length) {
            // Under the lock, so that it cannot come between a look and a wait.
            drop(self.state());
            self.changed.notify_all();
        }
    }
}

impl Outgoing {
    /// Takes some frames, those of lower lanes first, up to one that is long; says whether there were any.
    fn take(&mut self, waiting: &mut [VecDeque<Frame>; 3]) -> bool {
        let mut bytes = 0;
        for lane in Lane::ALL {
            while bytes < TOGETHER
                && let Some(frame) = waiting[lane as usize].pop_front()
            {
                bytes += frame.len();
                self.frames.push((lane, frame));
            }
        }
        !self.frames.is_empty()
    }

    /// Puts their bytes one behind the other, but for those of a long one, which is given.
    fn gather(&mut self) -> Option<Frame> {
        self.bytes.clear();
        for (lane, frame) in &self.frames {
            self.bytes.extend_from_slice(&head(*lane, frame.len()));
            if frame.len() >= TOGETHER {
                return Some(Frame::clone(frame));
            }
            self.bytes.extend_from_slice(frame);
        }
        None
    }
}

fn head(lane: Lane, length: usize) -> [u8; HEAD_BYTES] {
    let mut head = [lane as u8; HEAD_BYTES];
    // Longer ones are refused where they are sent.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    head[1..].copy_from_slice(&length.to_le_bytes());
    head
}

/// A frame of this length, if all of it comes.
fn read_frame(stream: &mut BufReader<Reader<'_>>, length: usize) -> Option<Frame> {
    if let Some(frame) = stream.buffer().get(..length) {
        let frame = frame.into();
        stream.consume(length);
        return Some(frame);
    }
    // Not all at once: what is announced may never come.
    let mut frame = Vec::with_capacity(length.min(1 << 20));
    let is_whole = stream.take(length as u64).read_to_end(&mut frame);
    (is_whole.ok() == Some(length)).then(|| frame.into())
}

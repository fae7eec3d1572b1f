//! One TCP connection.

use std::collections::VecDeque;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Item;
use crate::budget::Budget;
use crate::inbox::Sender;
use crate::transport::{CloseReason, Frame, Lane, LinkId, SendError};

/// One end of a connection: frames that wait to be written, and how much was read and not handed out.
#[derive(Debug)]
pub(super) struct Link {
    id: LinkId,
    stream: TcpStream,
    out: [Budget; 3],
    read: [Budget; 3],
    state: Mutex<State>,
    /// Something to write, something handed out, or the end.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: [VecDeque<Frame>; 3],
    closed: Option<CloseReason>,
}

/// What is before a frame: its lane and its length.
const HEAD_BYTES: usize = 5;

impl Link {
    pub(super) fn new(id: LinkId, stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (out, read) = (Lane::ALL.map(Budget::of), Lane::ALL.map(Budget::of));
        Ok(Self { id, stream, out, read, state: Mutex::default(), changed: Condvar::new() })
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
        self.stream.shutdown(Shutdown::Both).ok();
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
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Writes what waits, the lower lanes first, until the end.
    pub(super) fn write_all(&self, to_inbox: &Sender<Item>) {
        loop {
            let mut state = self.state();
            let (lane, frame) = loop {
                if state.closed.is_some() {
                    return;
                }
                let waiting = Lane::ALL
                    .into_iter()
                    .find_map(|lane| Some((lane, state.waiting[lane as usize].pop_front()?)));
                match waiting {
                    Some(next) => break next,
                    None => {
                        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(state);
            if self.write(lane, &frame).is_err() {
                self.close(&CloseReason::Lost);
                return;
            }
            if self.out[lane as usize].give_back(frame.len()) {
                to_inbox.send(Lane::Control, Item::Writable { link: self.id, lane });
            }
        }
    }

    fn write(&self, lane: Lane, frame: &[u8]) -> io::Result<()> {
        let mut head = [lane as u8; HEAD_BYTES];
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        head[1..].copy_from_slice(&length.to_le_bytes());
        let mut stream = &self.stream;
        // In one call, so that a small frame is one packet.
        let written = stream.write_vectored(&[IoSlice::new(&head), IoSlice::new(frame)])?;
        if written < HEAD_BYTES {
            stream.write_all(&head[written..])?;
        }
        stream.write_all(&frame[written.saturating_sub(HEAD_BYTES)..])
    }

    /// Reads frames until the end.
    pub(super) fn read_all(&self, to_inbox: &Sender<Item>, frame_bytes_max: usize) {
        let mut stream = BufReader::with_capacity(64 << 10, &self.stream);
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
            // Not all at once: what is announced may never come.
            let mut frame = Vec::with_capacity(length.min(1 << 20));
            let is_whole = stream.by_ref().take(length as u64).read_to_end(&mut frame);
            if is_whole.ok() != Some(length) {
                return;
            }
            let frame = frame.into();
            if !to_inbox.send(lane, Item::Frame { link: self.id, lane, frame }) {
                return;
            }
        }
    }

    /// Waits until enough of what was read is handed out; says whether the link is still there.
    fn wait_for_room(&self, lane: Lane, length: usize) -> bool {
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

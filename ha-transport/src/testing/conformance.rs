//! What every transport must do, as tests to run on one of your own.
//!
//! ```
//! use steadfast_ha_transport::testing::conformance::{self, Pair};
//! use steadfast_ha_transport::{ChannelNetwork, NodeId};
//!
//! conformance::check(|| {
//!     let network = ChannelNetwork::new();
//!     let dialer = Box::new(network.join(NodeId(1)));
//!     let listener = Box::new(network.join(NodeId(2)));
//!     Pair { dialer, listener, address: String::new() }
//! });
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::transport::{Event, Frame, Lane, LinkId, SendError, Transport};

/// Two nodes that do not know each other yet.
pub struct Pair {
    /// Who dials.
    pub dialer: Box<dyn Transport>,
    /// Who is dialed.
    pub listener: Box<dyn Transport>,
    /// Where.
    pub address: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds a transport to the contract.
///
/// # Panics
///
/// With what it does not keep.
pub fn check(mut make: impl FnMut() -> Pair) {
    links_come_up_and_say_who_is_there(&mut make());
    frames_come_unchanged_and_in_order(&mut make());
    lower_lanes_do_not_wait(&mut make());
    a_lane_that_nobody_empties_is_full_and_has_room_again(&mut make());
    frames_that_are_too_long_are_given_back(&mut make());
    links_that_are_hung_up_are_gone_on_both_sides(&mut make());
    who_is_dialed_is_dialed_again(&mut make());
    who_goes_is_missed(make());
    polling_ends_in_time(&mut make());
    polling_can_be_ended(&mut make());
}

#[track_caller]
fn next(transport: &mut dyn Transport) -> Event {
    let event = transport.poll(Some(Instant::now() + PATIENCE));
    event.expect("something happens soon")
}

#[track_caller]
fn up(transport: &mut dyn Transport) -> LinkId {
    loop {
        match next(transport) {
            Event::LinkUp { link, .. } => return link,
            Event::Frame { .. } => panic!("a frame before its link"),
            _ => {}
        }
    }
}

#[track_caller]
fn down(transport: &mut dyn Transport, of: LinkId) {
    loop {
        match next(transport) {
            Event::LinkDown { link, .. } if link == of => return,
            _ => {}
        }
    }
}

fn connect(pair: &mut Pair) -> (LinkId, LinkId) {
    pair.dialer.dial(pair.listener.local(), &pair.address).expect("the address is one");
    (up(&mut *pair.dialer), up(&mut *pair.listener))
}

fn links_come_up_and_say_who_is_there(pair: &mut Pair) {
    pair.dialer.dial(pair.listener.local(), &pair.address).expect("the address is one");
    let peer_of = |transport: &mut dyn Transport| match next(transport) {
        Event::LinkUp { peer, .. } => peer,
        other => panic!("{other:?} before there is a link"),
    };
    assert_eq!(peer_of(&mut *pair.dialer), pair.listener.local());
    assert_eq!(peer_of(&mut *pair.listener), pair.dialer.local());
}

/// A frame that says which one it is.
fn frame(number: u32, length: usize) -> Frame {
    let pattern = number.wrapping_mul(0x9e37_79b9).to_le_bytes();
    pattern.into_iter().cycle().take(length).collect()
}

fn frames_come_unchanged_and_in_order(pair: &mut Pair) {
    let (there, here) = connect(pair);
    let max = pair.dialer.caps().frame_bytes_max.min(3 << 20);
    let lengths = [0, 1, 4, 5, 47, 1024, 65_535, 65_536, 200_000, max];
    let sent = |number: u32| frame(number, lengths[number as usize % lengths.len()]);
    for backward in [false, true] {
        let started = Instant::now();
        let (from, to) = if backward {
            (&mut pair.listener, &mut pair.dialer)
        } else {
            (&mut pair.dialer, &mut pair.listener)
        };
        let (out, into) = if backward { (here, there) } else { (there, here) };
        let mut numbers = BTreeMap::from(Lane::ALL.map(|lane| (lane, (0_u32, 0_u32))));
        while numbers.values().any(|&(_, got)| got < 60) {
            for lane in Lane::ALL {
                let number = &mut numbers.get_mut(&lane).expect("every lane").0;
                if *number < 60 && from.try_send(out, lane, sent(*number)).is_ok() {
                    *number += 1;
                }
            }
            while let Some(event) = to.poll(Some(Instant::now() + Duration::from_millis(2))) {
                assert!(!matches!(event, Event::LinkDown { .. }), "the link went down");
                if let Event::Frame { link, lane, frame } = event {
                    assert_eq!(link, into);
                    let number = &mut numbers.get_mut(&lane).expect("every lane").1;
                    assert!(frame == sent(*number), "frame {number} of {lane:?} is another one");
                    *number += 1;
                }
            }
            assert!(started.elapsed() < 3 * PATIENCE, "frames do not come: {numbers:?}");
        }
    }
}

fn lower_lanes_do_not_wait(pair: &mut Pair) {
    let (out, _) = connect(pair);
    let mut bulk = 0_u32;
    while pair.dialer.try_send(out, Lane::Bulk, frame(0, 100_000)).is_ok() {
        bulk += 1;
        assert!(bulk < 100_000, "memory is not bounded");
    }
    pair.dialer.try_send(out, Lane::Control, frame(1, 10)).expect("the lane is empty");
    thread::sleep(Duration::from_millis(200));
    let mut before = 0;
    loop {
        match next(&mut *pair.listener) {
            Event::Frame { lane: Lane::Control, .. } => break,
            Event::Frame { .. } => before += 1,
            _ => {}
        }
    }
    // What had left already may come first.
    assert!(before < bulk, "{before} of {bulk} frames came before one of a lower lane");
}

fn a_lane_that_nobody_empties_is_full_and_has_room_again(pair: &mut Pair) {
    let (out, _) = connect(pair);
    let payload = frame(3, 10_000);
    let (mut sent, started) = (0_u32, Instant::now());
    // What is on its way for a moment makes room still: it is full when that has come to an end.
    let mut full_since = None;
    while full_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_millis(300)) {
        match pair.dialer.try_send(out, Lane::Journal, Arc::clone(&payload)) {
            Ok(()) => (sent, full_since) = (sent + 1, None),
            Err(SendError::Full(back)) => {
                assert!(back == payload, "another frame came back");
                full_since.get_or_insert_with(Instant::now);
                thread::sleep(Duration::from_millis(1));
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(sent < 100_000 && started.elapsed() < PATIENCE, "memory is not bounded");
    }
    let mut got = 0;
    while got < sent {
        if let Event::Frame { frame, .. } = next(&mut *pair.listener) {
            assert!(frame == payload, "another frame came");
            got += 1;
        }
    }
    let until = Some(Instant::now() + PATIENCE);
    while let Some(event) = pair.dialer.poll(until) {
        if event == (Event::Writable { link: out, lane: Lane::Journal }) {
            pair.dialer.try_send(out, Lane::Journal, payload).expect("there is room");
            return;
        }
    }
    panic!("nobody says that there is room");
}

fn frames_that_are_too_long_are_given_back(pair: &mut Pair) {
    let (out, _) = connect(pair);
    let max = pair.dialer.caps().frame_bytes_max;
    if max > 256 << 20 {
        return; // no test makes frames of that length
    }
    let sent = pair.dialer.try_send(out, Lane::Bulk, vec![0; max + 1].into());
    assert_eq!(sent, Err(SendError::TooLong { bytes: max + 1, max }));
    pair.dialer.try_send(out, Lane::Bulk, frame(1, 1)).expect("the link is there");
}

fn links_that_are_hung_up_are_gone_on_both_sides(pair: &mut Pair) {
    let (there, here) = connect(pair);
    pair.listener.hang_up(here);
    down(&mut *pair.listener, here);
    down(&mut *pair.dialer, there);
    for (transport, link) in [(&mut pair.dialer, there), (&mut pair.listener, here)] {
        let sent = transport.try_send(link, Lane::Control, frame(1, 1));
        assert!(matches!(sent, Err(SendError::Gone(_))), "{sent:?}");
    }
}

fn who_is_dialed_is_dialed_again(pair: &mut Pair) {
    let mut seen = BTreeSet::new();
    let (mut there, mut here) = connect(pair);
    for _ in 0..3 {
        assert!(seen.insert((true, there)) && seen.insert((false, here)), "a number came again");
        pair.listener.hang_up(here);
        down(&mut *pair.dialer, there);
        (there, here) = (up(&mut *pair.dialer), up(&mut *pair.listener));
        pair.dialer.try_send(there, Lane::Journal, frame(5, 50)).expect("the link is there");
        loop {
            if let Event::Frame { link, frame: came, .. } = next(&mut *pair.listener) {
                assert_eq!((link, came), (here, frame(5, 50)));
                break;
            }
        }
    }
    // Also when the dialer hangs up himself, unless he does not dial any more.
    pair.dialer.hang_up(there);
    down(&mut *pair.dialer, there);
    there = up(&mut *pair.dialer);
    pair.dialer.undial(pair.listener.local());
    pair.dialer.hang_up(there);
    down(&mut *pair.dialer, there);
    let again = pair.dialer.poll(Some(Instant::now() + Duration::from_millis(150)));
    assert_eq!(again, None);
}

fn who_goes_is_missed(mut pair: Pair) {
    let (there, _) = connect(&mut pair);
    drop(pair.listener);
    down(&mut *pair.dialer, there);
}

fn polling_ends_in_time(pair: &mut Pair) {
    let start = Instant::now();
    assert_eq!(pair.dialer.poll(Some(start + Duration::from_millis(30))), None);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(pair.dialer.poll(Some(start)), None, "what is over does not wait");
}

fn polling_can_be_ended(pair: &mut Pair) {
    let waker = pair.dialer.waker();
    let waking = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        waker.wake();
        waker.wake();
    });
    assert_eq!(next(&mut *pair.dialer), Event::Wake);
    waking.join().expect("it only wakes");
    // Before anybody polls counts, too, and however many as one, or with the one above as two.
    pair.dialer.waker().wake();
    pair.dialer.waker().wake();
    let soon = || Some(Instant::now() + Duration::from_millis(20));
    let wakes = std::iter::from_fn(|| pair.dialer.poll(soon())).count();
    assert!((1..=2).contains(&wakes), "{wakes}");
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use steadfast_ha_transport::testing::conformance::{self, Pair};
use steadfast_ha_transport::{
    ChannelNetwork, CloseReason, Event, Lane, NodeId, Refusal, TcpOptions, TcpTransport, Transport,
    TransportError,
};

fn tcp(node: u32, group: u64) -> TcpTransport {
    let mut options = TcpOptions::new(group);
    options.frame_bytes_max = 4 << 20;
    options.handshake = Duration::from_millis(300);
    TcpTransport::bind(NodeId(node), "127.0.0.1:0", options).expect("loopback has ports")
}

#[test]
fn channels_keep_the_contract() {
    conformance::check(|| {
        let network = ChannelNetwork::new();
        let dialer = Box::new(network.join(NodeId(1)));
        Pair { dialer, listener: Box::new(network.join(NodeId(2))), address: String::new() }
    });
}

#[test]
fn tcp_keeps_the_contract() {
    conformance::check(|| {
        let (dialer, listener) = (tcp(1, 9), tcp(2, 9));
        let address = listener.address().to_string();
        Pair { dialer: Box::new(dialer), listener: Box::new(listener), address }
    });
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(700)
}

#[test]
fn tcp_takes_no_node_of_another_group_and_no_other_node() {
    let (mut a, mut b) = (tcp(1, 9), tcp(2, 8));
    a.dial(NodeId(2), &b.address().to_string()).unwrap();
    assert_eq!((a.poll(Some(soon())), b.poll(Some(soon()))), (None, None));
    // Both know why, and whom it was about.
    let here = a.refusals().last().pop().expect("it was refused");
    assert_eq!((here.why, here.dialed), (Refusal::OtherGroup(8), Some(NodeId(2))));
    let there = b.refusals().last().pop().expect("it was refused");
    assert_eq!((there.why, there.dialed), (Refusal::OtherGroup(9), None));
    assert!(a.refusals().count() > 1 && there.address.is_some());

    let (mut a, c) = (tcp(1, 9), tcp(3, 9));
    a.dial(NodeId(2), &c.address().to_string()).unwrap();
    assert_eq!(a.poll(Some(soon())), None, "node 3 is not node 2");
    assert_eq!(a.refusals().last()[0].why, Refusal::OtherNode(NodeId(3)));
    drop(c);
    a.poll(Some(soon()));
    let gone = a.refusals().last().pop().expect("it was refused").why;
    assert!(matches!(gone, Refusal::Unreachable(_)), "{gone}");
}

fn preface(group: u64, node: u32) -> Vec<u8> {
    [&b"SFH\x01"[..], &group.to_le_bytes(), &node.to_le_bytes()].concat()
}

#[test]
fn tcp_hangs_up_on_strangers_and_on_what_is_no_frame() {
    let mut node = tcp(1, 9);
    // One that says nothing, one that says nonsense, one that stops in the middle.
    for said in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &preface(9, 7)[..9]] {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.write_all(said).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).ok(); // its end, or a reset
        assert!(heard.len() <= 16);
    }
    assert_eq!(node.poll(Some(soon())), None);
    let why: Vec<_> = node.refusals().last().into_iter().map(|refused| refused.why).collect();
    assert!(why.contains(&Refusal::NoNode) && why.contains(&Refusal::Silent), "{why:?}");

    let too_long = u32::try_from((4 << 20) + 1).unwrap().to_le_bytes();
    for frame in [[&[3][..], &[0; 4]].concat(), [&[0][..], &too_long].concat()] {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        stream.write_all(&[&preface(9, 7)[..], &[1, 2, 0, 0, 0, 7, 8], &frame].concat()).unwrap();
        let Some(Event::LinkUp { link, peer: NodeId(7) }) = node.poll(Some(soon())) else {
            panic!()
        };
        let (mut events, mut frames) = (Vec::new(), 0);
        while let Some(event) = node.poll(Some(soon())) {
            frames += usize::from(matches!(event, Event::Frame { lane: Lane::Journal, .. }));
            events.push(event);
        }
        let down = Event::LinkDown { link, why: CloseReason::Broken };
        assert!(events.contains(&down) && frames <= 1, "{events:?}");
    }
}

#[test]
fn tcp_leaves_few_places_to_those_who_do_not_say_who_they_are() {
    let mut node = tcp(1, 9);
    let silent: Vec<_> = (0..40).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    let mut refused = 0;
    for mut stream in &silent {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // Whoever has a place is told who this is, and is waited for.
        let mut greeting = [0; 16];
        refused += usize::from(stream.read_exact(&mut greeting).is_err());
    }
    assert_eq!(refused, 40 - 16);
    // When they have been waited for long enough, others have a place.
    let mut other = tcp(2, 9);
    other.dial(NodeId(1), &node.address().to_string()).unwrap();
    let later = Some(Instant::now() + Duration::from_secs(20));
    assert!(matches!(node.poll(later), Some(Event::LinkUp { peer: NodeId(2), .. })));
}

#[test]
fn tcp_does_not_use_addresses_that_others_can_reach() {
    let bound = TcpTransport::bind(NodeId(1), "0.0.0.0:0", TcpOptions::new(9));
    assert!(matches!(bound, Err(TransportError::Plaintext { .. })), "{bound:?}");
    let dialed = tcp(1, 9).dial(NodeId(2), "192.0.2.1:7400");
    assert!(matches!(dialed, Err(TransportError::Plaintext { .. })), "{dialed:?}");
    let nowhere = tcp(1, 9).dial(NodeId(2), "nowhere");
    assert!(matches!(nowhere, Err(TransportError::Address { .. })), "{nowhere:?}");
    let mut options = TcpOptions::new(9);
    options.allow_plaintext = true;
    TcpTransport::bind(NodeId(1), "0.0.0.0:0", options).unwrap();
}

#[test]
fn what_is_dropped_leaves_no_thread() {
    let threads = || {
        std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
            let name = task.as_ref().unwrap().path().join("comm");
            std::fs::read_to_string(name).unwrap_or_default().starts_with("sf-tcp")
        })
    };
    for _ in 0..20 {
        let (mut a, mut b) = (tcp(1, 77), tcp(2, 77));
        a.dial(NodeId(2), &b.address().to_string()).unwrap();
        a.poll(None);
        b.poll(None);
    }
    let until = Instant::now() + Duration::from_secs(10);
    // Other tests of this process have some of their own.
    while threads().count() > 40 {
        assert!(Instant::now() < until, "{} threads are left", threads().count());
        let mut nobody = tcp(9, 78);
        assert_eq!(nobody.poll(Some(Instant::now() + Duration::from_millis(20))), None);
    }
}

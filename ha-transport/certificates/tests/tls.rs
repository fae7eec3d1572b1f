//! TCP with TLS: who is let in, who is not, and what is said of it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use steadfast_ha_certificates::{
    Authority, CertificateParams, ExtendedKeyUsagePurpose, Own, date_time_ymd,
};
use steadfast_ha_transport::testing::conformance::{self, Pair};
use steadfast_ha_transport::{
    Event, Lane, LinkId, NodeId, Refusal, TcpOptions, TcpTransport, Tls, TlsError, Transport,
    TransportError,
};

const GROUP: u64 = 9;
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for a node of the group.
fn of_node(authority: &Authority, node: u32) -> Own {
    authority.node(node, GROUP, "example")
}

fn shown(authority: &Authority, own: &Own) -> Tls {
    let pem = authority.pem();
    let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
    Tls::from_pem("example", pem.as_bytes(), certificate, key).expect("PEM")
}

fn options(tls: Option<Tls>) -> TcpOptions {
    let mut options = TcpOptions::new(GROUP);
    options.frame_bytes_max = 4 << 20;
    options.handshake = Duration::from_millis(500);
    options.tls = tls;
    options
}

fn bind(node: u32, tls: Tls) -> TcpTransport {
    TcpTransport::bind(NodeId(node), "127.0.0.1:0", options(Some(tls))).expect("loopback")
}

#[test]
fn tls_keeps_the_contract() {
    let authority = Authority::new("one");
    let (one, two) =
        (shown(&authority, &of_node(&authority, 1)), shown(&authority, &of_node(&authority, 2)));
    conformance::check(|| {
        let (dialer, listener) = (bind(1, one.clone()), bind(2, two.clone()));
        let address = listener.address().to_string();
        Pair { dialer: Box::new(dialer), listener: Box::new(listener), address }
    });
}

#[test]
fn tls_opens_addresses_that_others_can_reach() {
    let authority = Authority::new("one");
    let tls = shown(&authority, &of_node(&authority, 1));
    let open = TcpTransport::bind(NodeId(1), "0.0.0.0:0", options(Some(tls))).expect("any");
    assert!(open.caps().authenticated && open.caps().encrypted);
    let plain = TcpTransport::bind(NodeId(1), "0.0.0.0:0", options(None));
    assert!(matches!(plain, Err(TransportError::Plaintext { .. })), "{plain:?}");
    // With somebody else's certificate nobody would talk to it.
    let other = TcpTransport::bind(
        NodeId(2),
        "127.0.0.1:0",
        options(Some(shown(&authority, &of_node(&authority, 1)))),
    );
    assert!(matches!(other, Err(TransportError::Certificate { .. })), "{other:?}");
}

/// The link, if there is one soon.
fn link(transport: &mut TcpTransport, time: Duration) -> Option<LinkId> {
    let until = Some(Instant::now() + time);
    loop {
        match transport.poll(until)? {
            Event::LinkUp { link, .. } => return Some(link),
            other => assert!(!matches!(other, Event::Frame { .. }), "{other:?}"),
        }
    }
}

/// The first refusal at this side.
#[track_caller]
fn refusal(transport: &TcpTransport) -> Refusal {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(refused) = transport.refusals().last().into_iter().next() {
            return refused.why;
        }
        assert!(Instant::now() < until, "nobody is refused");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Dials a node that is `listening` as node 2, and gives what both sides say; neither has a link.
#[track_caller]
fn refused(mut dialing: TcpTransport, mut listening: TcpTransport) -> (Refusal, Refusal) {
    dialing.dial(NodeId(2), &listening.address().to_string()).expect("an address");
    let said = (refusal(&dialing), refusal(&listening));
    let soon = Duration::from_millis(50);
    assert_eq!((link(&mut dialing, soon), link(&mut listening, soon)), (None, None));
    said
}

/// The listener's certificate is looked at by the dialer, who tells it why.
#[test]
fn who_listens_must_show_a_valid_certificate_of_its_own() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let dialer = || bind(1, shown(&authority, &of_node(&authority, 1)));
    let name = format!("node-2.group-{GROUP}.example");
    let over = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(3001, 1, 1);
    };
    let same = Authority::new("one");
    for (own, expected) in [
        (other.issue(&[&name], |_| {}), Refusal::UnknownAuthority),
        (same.issue(&[&name], |_| {}), Refusal::UnknownAuthority),
        (authority.issue(&[&name], over), Refusal::Expired),
        (authority.issue(&[&name], early), Refusal::Expired),
    ] {
        let (here, there) = refused(dialer(), bind(2, shown(&authority, &own)));
        assert_eq!(here, expected);
        assert!(matches!(there, Refusal::RefusedThere(_) | Refusal::HungUp(_)), "{there:?}");
    }
    // A node that is another one than was dialed, with a certificate for what it is.
    let (here, _) = refused(dialer(), bind(3, shown(&authority, &of_node(&authority, 3))));
    assert_eq!(here, Refusal::NotForNode(name.clone()));
    // One without a name of a node cannot even be started as one.
    let none = authority.issue(&["localhost"], |_| {});
    let bound =
        TcpTransport::bind(NodeId(2), "127.0.0.1:0", options(Some(shown(&authority, &none))));
    assert!(matches!(bound, Err(TransportError::Certificate { .. })));
    // One for servers alone dials nobody.
    let served = authority.issue(&[&format!("node-1.group-{GROUP}.example")], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let listener = bind(2, shown(&authority, &of_node(&authority, 2)));
    let (_, there) = refused(bind(1, shown(&authority, &served)), listener);
    assert!(matches!(there, Refusal::Tls(_)), "{there:?}");
}

#[test]
fn who_dials_must_show_a_valid_certificate_of_its_own() {
    let (authority, other) = (Authority::new("one"), Authority::new("two"));
    let name = format!("node-1.group-{GROUP}.example");
    let over = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
    };
    for (own, expected) in [
        (other.issue(&[&name], |_| {}), Refusal::UnknownAuthority),
        (authority.issue(&[&name], over), Refusal::Expired),
    ] {
        let listener = bind(2, shown(&authority, &of_node(&authority, 2)));
        let (here, there) = refused(bind(1, shown(&authority, &own)), listener);
        assert_eq!(there, expected);
        // It hears of it behind its own handshake, so there must be no link before an answer.
        assert!(matches!(here, Refusal::RefusedThere(_)), "{here:?}");
    }
}

/// A client that says what it likes: how others would try to get in.
fn stranger(
    authority: &Authority,
    own: Option<&Own>,
    to: &TcpTransport,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec())).expect("an authority");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(Own { certificate, key }) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![certificate], key).expect("a key")
        }
    };
    config.alpn_protocols = vec![b"steadfast-ha/1".to_vec()];
    let name = ServerName::try_from(format!("node-2.group-{GROUP}.example")).expect("a name");
    let client = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let stream = TcpStream::connect(to.address()).expect("it listens");
    let mut over = rustls::StreamOwned::new(client, stream);
    // It says that it is node 1, whoever it is.
    let said = [&b"SFH\x01"[..], &GROUP.to_le_bytes(), &1_u32.to_le_bytes()].concat();
    over.write_all(&said).and_then(|()| over.flush()).ok();
    over
}

#[test]
fn nobody_is_a_node_because_it_says_so() {
    let authority = Authority::new("one");
    let mut node = bind(2, shown(&authority, &of_node(&authority, 2)));
    // With a certificate for another node, for another group, for another cluster, for a name that is none.
    for (names, count) in [
        (vec!["node-3.group-9.example"], 1),
        (vec!["node-1.group-8.example"], 2),
        (vec!["node-1.group-9.example.org", "node-1.group-9"], 3),
        (vec!["localhost"], 4),
    ] {
        let own = authority.issue(&names, |_| {});
        let connection = stranger(&authority, Some(&own), &node);
        let until = Instant::now() + PATIENCE;
        while node.refusals().count() < count {
            assert!(Instant::now() < until, "{names:?} is let in");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let why = node.refusals().last().pop().expect("there is one").why;
        assert_eq!(why, Refusal::NotForNode("node-1.group-9.example".to_owned()));
        drop(connection);
    }
    assert_eq!(node.poll(Some(Instant::now() + Duration::from_millis(50))), None);
    // Without one, nothing.
    let before = node.refusals().count();
    let connection = stranger(&authority, None, &node);
    let until = Instant::now() + PATIENCE;
    while node.refusals().count() == before {
        assert!(Instant::now() < until, "nobody is let in without a certificate");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    assert_eq!(node.refusals().last().pop().expect("one").why, Refusal::NoCertificate);
    drop(connection);
    // It hears why, also if it has said more than anybody wanted to hear; unless it takes a pause while it says so.
    let mut heard = 0;
    for _ in 0..10 {
        let before = node.refusals().count();
        let mut connection = stranger(&authority, None, &node);
        connection.write_all(&vec![0; 100_000]).ok();
        while node.refusals().count() == before {
            assert!(Instant::now() < until, "nobody is let in without a certificate");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let why = connection.read(&mut [0; 100]).expect_err("it is refused").to_string();
        heard += u32::from(why.contains("CertificateRequired"));
    }
    assert!(heard >= 9, "{heard} of 10 hear why");
    // With the right one it is let in: the tests above are not refused for another reason.
    let own = of_node(&authority, 1);
    let connection = stranger(&authority, Some(&own), &node);
    assert!(link(&mut node, PATIENCE).is_some());
    drop(connection);
}

#[test]
fn plaintext_and_tls_do_not_meet_and_who_says_nothing_is_not_waited_for() {
    let authority = Authority::new("one");
    let plain = |node| TcpTransport::bind(NodeId(node), "127.0.0.1:0", options(None)).unwrap();
    let (here, there) = refused(plain(1), bind(2, shown(&authority, &of_node(&authority, 2))));
    assert_eq!(there, Refusal::NoTls);
    assert!(matches!(here, Refusal::HungUp(_) | Refusal::NoNode), "{here:?}");
    let (here, there) = refused(bind(1, shown(&authority, &of_node(&authority, 1))), plain(2));
    assert_eq!((here, there), (Refusal::NoTls, Refusal::NoNode));

    let mut node = bind(2, shown(&authority, &of_node(&authority, 2)));
    let silent: Vec<_> = (0..30).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    // Byte by byte, so that each of them comes in time and all of them do not.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = slow.local_addr().unwrap().to_string();
    let dripping = std::thread::spawn(move || {
        let (mut stream, _) = slow.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let started = Instant::now();
        // The head of a record that is announced and does not come.
        for byte in [22_u8, 3, 3, 64].into_iter().chain(std::iter::repeat(0)) {
            let mut some = [0; 1024];
            let _heard = stream.read(&mut some);
            if stream.write_all(&[byte]).is_err() || started.elapsed() > PATIENCE {
                return started.elapsed();
            }
        }
        unreachable!("the bytes do not end")
    });
    node.dial(NodeId(5), &address).unwrap();
    let took = dripping.join().unwrap();
    assert!(took < Duration::from_secs(5), "it drips for {took:?}");
    node.undial(NodeId(5));
    let until = Instant::now() + PATIENCE;
    let all = |wanted: &Refusal| {
        node.refusals().last().iter().filter(|refused| refused.why == *wanted).count()
    };
    while all(&Refusal::Silent) < 15 {
        assert!(Instant::now() < until, "{:?}", node.refusals());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(all(&Refusal::Crowded) > 0, "there is a place for everybody");
    drop(silent);
    // Then others have a place.
    let mut other = bind(1, shown(&authority, &of_node(&authority, 1)));
    other.dial(NodeId(2), &node.address().to_string()).unwrap();
    assert!(link(&mut node, PATIENCE).is_some());
}

#[test]
fn certificates_are_replaced_while_links_are_up() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let keep = |authority: &Authority, own: &Own| {
        std::fs::write(path("ca.pem"), authority.pem()).unwrap();
        std::fs::write(path("node.pem"), &own.certificate).unwrap();
        std::fs::write(path("node.key"), &own.key).unwrap();
    };
    keep(&old, &of_node(&old, 1));
    let tls = Tls::from_files("example", path("ca.pem"), path("node.pem"), path("node.key"));
    let (one, two) = (tls.unwrap(), shown(&old, &of_node(&old, 2)));
    let (mut a, mut b) = (bind(1, one.clone()), bind(2, two.clone()));
    a.dial(NodeId(2), &b.address().to_string()).unwrap();
    let first = link(&mut a, PATIENCE).expect("a link");
    link(&mut b, PATIENCE).expect("a link");
    // What is no certificate is refused, and changes nothing.
    std::fs::write(path("node.pem"), "nonsense").unwrap();
    assert!(matches!(one.reload(), Err(TlsError::Invalid { .. })));
    std::fs::remove_file(path("node.pem")).unwrap();
    assert!(matches!(one.reload(), Err(TlsError::File { .. })));
    assert!(matches!(two.reload(), Err(TlsError::NotFromFiles)));
    keep(&new, &of_node(&new, 1));
    one.reload().unwrap();
    // The link is as it was.
    a.try_send(first, Lane::Journal, b"still"[..].into()).unwrap();
    let came = b.poll(Some(Instant::now() + PATIENCE));
    assert!(matches!(came, Some(Event::Frame { frame, .. }) if *frame == *b"still"));
    // The next one is another matter: the other side does not know the new authority yet.
    a.hang_up(first);
    assert_eq!(link(&mut a, Duration::from_millis(300)), None);
    assert!(matches!(refusal(&a), Refusal::UnknownAuthority));
    let own = of_node(&new, 2);
    two.replace(new.pem().as_bytes(), own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
    assert!(link(&mut a, PATIENCE).is_some(), "{:?}", a.refusals());
}

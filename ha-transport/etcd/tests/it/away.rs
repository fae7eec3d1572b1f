//! etcd that is not there, not yet, not any more, or only half.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use steadfast_ha_etcd::{EtcdCoordinator, EtcdOptions};
use steadfast_ha_transport::{
    Coordinator, CoordinatorEvent, Epoch, GroupRecord, NodeId, Swapped, Version,
};

use crate::etcd::{Etcd, Nobody, PATIENCE, free_port};

const LEASE: Duration = Duration::from_secs(1);

fn coordinator(options: &EtcdOptions) -> EtcdCoordinator {
    let mut coordinator = EtcdCoordinator::new("a group", NodeId(1), options).expect("loopback");
    coordinator.start(Arc::new(Nobody));
    coordinator
}

fn record(epoch: u64) -> GroupRecord {
    GroupRecord { epoch: Epoch(epoch), ..GroupRecord::new([NodeId(1), NodeId(2)]) }
}

/// The next event that is one of these.
#[track_caller]
fn wait<T>(it: &mut EtcdCoordinator, is_it: impl Fn(CoordinatorEvent) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match it.poll() {
            Some(event) => {
                if let Some(found) = is_it(event) {
                    return found;
                }
            }
            None => std::thread::park_timeout(Duration::from_millis(2)),
        }
        assert!(Instant::now() < end, "nothing comes: {:?}", it.health().trouble());
    }
}

#[track_caller]
fn swap(it: &mut EtcdCoordinator, own: u64, expect: Version, wanted: GroupRecord) -> Swapped {
    it.swap(own, expect, wanted);
    wait(it, |event| match event {
        CoordinatorEvent::Swapped { ticket, swapped } if ticket == own => Some(swapped),
        _ => None,
    })
}

/// Swaps until it is known what became of it.
#[track_caller]
fn write(it: &mut EtcdCoordinator, expect: Version, wanted: &GroupRecord) -> Version {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match swap(it, 100, expect, wanted.clone()) {
            Swapped::Done(version) => return version,
            Swapped::Conflict(version, there) if there == *wanted => return version,
            Swapped::Conflict(version, there) => panic!("{there:?} is there at {version:?}"),
            Swapped::Unknown => {}
        }
    }
    panic!("it is never done: {:?}", it.health().trouble());
}

fn some_record(event: CoordinatorEvent) -> Option<(Version, GroupRecord)> {
    match event {
        CoordinatorEvent::Record(version, record) => Some((version, record)),
        _ => None,
    }
}

#[test]
fn without_etcd_nothing_waits_and_when_it_comes_or_comes_back_all_goes_on() {
    let Some(mut etcd) = Etcd::find(1) else { return };
    let mut it = coordinator(&etcd.options(LEASE));
    // Nothing is there yet. No call waits, and what is asked is not forgotten.
    let before = Instant::now();
    for ticket in 1..=3 {
        it.read();
        it.lead(true);
        it.swap(ticket, Version(0), record(9));
        it.lead(false);
        assert_eq!(it.held_until(), None);
    }
    assert!(before.elapsed() < Duration::from_millis(100), "a call waits");
    for number in 1..=3 {
        let unknown = wait(&mut it, |event| match event {
            CoordinatorEvent::Swapped { ticket, swapped } => Some((ticket, swapped)),
            _ => None,
        });
        assert_eq!(unknown, (number, Swapped::Unknown));
    }
    it.read();
    assert!(it.health().trouble().is_some());
    etcd.run(0);
    wait(&mut it, |event| (event == CoordinatorEvent::NoRecord).then_some(()));
    let first = write(&mut it, Version(0), &record(1));
    assert!(it.health().answered().is_some());
    it.lead(true);
    etcd.wait("the lease", || it.held_until().is_some_and(|held| held > Instant::now()));
    // It goes, and with it the lease, in time.
    etcd.kill(0);
    let gone = Instant::now();
    let unknown = swap(&mut it, 7, first, record(2));
    assert_eq!(unknown, Swapped::Unknown);
    assert!(gone.elapsed() < LEASE, "that takes {:?}", gone.elapsed());
    etcd.wait("its end", || it.held_until().is_none_or(|held| held <= Instant::now()));
    assert!(gone.elapsed() <= 2 * LEASE);
    assert_eq!(it.poll(), None, "nobody can say that the lease has expired");
    // It comes back with what it had.
    etcd.run(0);
    it.read();
    assert_eq!(wait(&mut it, some_record), (first, record(1)));
    etcd.wait("the lease", || it.held_until().is_some_and(|held| held > Instant::now()));
    let second = write(&mut it, first, &record(2));
    // A change by somebody else is noticed by a watch that was there before it went, too.
    let mut other = EtcdCoordinator::new("a group", NodeId(2), &etcd.options(LEASE)).unwrap();
    other.start(Arc::new(Nobody));
    while it.poll().is_some() {}
    let third = write(&mut other, second, &record(3));
    assert_eq!(wait(&mut it, some_record), (third, record(3)));
}

#[test]
fn changes_of_others_are_noticed_much_sooner_than_it_is_looked_for_them() {
    let Some(etcd) = Etcd::start(1) else { return };
    let options = etcd.options(8 * LEASE);
    let (mut one, mut other) = (coordinator(&options), coordinator(&options));
    let mut version = write(&mut one, Version(0), &record(1));
    for epoch in 2..8 {
        version = write(&mut one, version, &record(epoch));
        let written = Instant::now();
        let its = |event| some_record(event).filter(|it| it.0 == version);
        assert_eq!(wait(&mut other, its).1, record(epoch));
        // It is looked for them every two seconds.
        assert!(written.elapsed() < Duration::from_millis(700), "{:?}", written.elapsed());
    }
}

#[test]
fn members_that_are_gone_or_stopped_are_passed_over() {
    let Some(mut etcd) = Etcd::start(3) else { return };
    let mut options = etcd.options(LEASE);
    // One address where nobody is, before all others.
    options.endpoints.insert(0, format!("http://127.0.0.1:{}", free_port()));
    let mut it = coordinator(&options);
    let mut version = write(&mut it, Version(0), &record(1));
    it.lead(true);
    for (round, at) in [0, 1, 2, 0].into_iter().enumerate() {
        let stopped = round % 2 == 0;
        if stopped {
            etcd.signal(at, "-STOP");
        } else {
            etcd.kill(at);
        }
        version = write(&mut it, version, &record(round as u64 + 2));
        etcd.wait("the lease", || {
            it.held_until().is_some_and(|held| held > Instant::now() + LEASE / 2)
        });
        if stopped {
            etcd.signal(at, "-CONT");
        } else {
            etcd.run(at);
        }
        let mut all = etcd.options(LEASE);
        all.endpoints = vec![etcd.endpoint(at)];
        let mut only = coordinator(&all);
        only.read();
        let there = record(round as u64 + 2);
        etcd.wait("it has caught up", || {
            only.read();
            only.poll() == Some(CoordinatorEvent::Record(version, there.clone()))
        });
    }
}

/// Hands connections on to etcd, and keeps answers back when it is told to.
fn proxy(to: &str) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let silent = Arc::new(AtomicBool::new(false));
    let keeps = Arc::clone(&silent);
    let to = to.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&to) else { continue };
            let (from, into) = (again(&client), again(&server));
            std::thread::spawn(move || copy(from, into, &AtomicBool::new(false)));
            let keeps = Arc::clone(&keeps);
            std::thread::spawn(move || copy(server, client, &keeps));
        }
    });
    (address, silent)
}

fn again(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

fn copy(mut from: TcpStream, mut into: TcpStream, keeps: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if keeps.load(Ordering::SeqCst) || into.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    into.shutdown(Shutdown::Both).ok();
}

#[test]
fn what_was_done_without_an_answer_is_unknown_and_not_done_again() {
    let Some(etcd) = Etcd::start(1) else { return };
    let (address, silent) = proxy(&etcd.endpoint(0));
    let mut options = etcd.options(LEASE);
    options.endpoints = vec![address];
    let mut it = coordinator(&options);
    let mut direct = coordinator(&etcd.options(LEASE));
    // Led by nobody here, so that nothing but the swap itself is asked for.
    let wanted = |epoch| GroupRecord { leader: NodeId(2), ..record(epoch) };
    let first = write(&mut it, Version(0), &wanted(1));
    silent.store(true, Ordering::SeqCst);
    assert_eq!(swap(&mut it, 1, first, wanted(2)), Swapped::Unknown);
    silent.store(false, Ordering::SeqCst);
    direct.read();
    let newer = |event| some_record(event).filter(|it| it.0 > first);
    let (second, there) = wait(&mut direct, newer);
    assert_eq!(there, wanted(2));
    // Tried again it is found to be done.
    let again = loop {
        match swap(&mut it, 2, first, wanted(2)) {
            Swapped::Unknown => {}
            other => break other,
        }
    };
    assert_eq!(again, Swapped::Conflict(second, wanted(2)));
}

#[test]
fn what_is_no_etcd_is_survived() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let answers: [&[u8]; 5] = [
            b"",
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]",
            b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{",
            b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}",
            b"SSH-2.0-nonsense\r\n",
        ];
        for (stream, answer) in listener.incoming().zip(answers.into_iter().cycle()) {
            let Ok(mut stream) = stream else { return };
            // Whatever is asked, in one piece or several.
            let _asked = stream.read(&mut [0; 2048]);
            stream.write_all(answer).ok();
        }
    });
    let mut options = EtcdOptions::new([address]);
    options.lease = LEASE;
    let mut it = coordinator(&options);
    it.lead(true);
    for ticket in 1..=10 {
        it.read();
        assert_eq!(swap(&mut it, ticket, Version(0), record(1)), Swapped::Unknown);
    }
    assert!(it.health().trouble().is_some());
    assert_eq!(it.held_until(), None);
}

//! etcd that wants to know who asks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_ha_certificates::{Authority, Own};
use steadfast_ha_etcd::{EtcdCoordinator, EtcdError, EtcdOptions, EtcdTls};
use steadfast_ha_transport::{
    Coordinator as _, CoordinatorEvent, GroupRecord, NodeId, Swapped, Version,
};

use crate::etcd::{Etcd, Nobody, PATIENCE};

/// For etcd itself, or a client. etcd asks itself on behalf of those who speak HTTP, with its own certificate, so it must
/// be one for clients, too.
fn issue(authority: &Authority) -> Own {
    authority.issue(&["127.0.0.1", "localhost"], |_| {})
}

fn keep(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("its own directory");
    path.to_str().expect("plain").to_owned()
}

fn coordinator(options: &EtcdOptions) -> EtcdCoordinator {
    let mut it = EtcdCoordinator::new("a group", NodeId(1), options).expect("they are some");
    it.start(Arc::new(Nobody));
    it.read();
    it
}

#[track_caller]
fn wait(it: &mut EtcdCoordinator) -> CoordinatorEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = it.poll() {
            return event;
        }
        assert!(Instant::now() < end, "nothing comes: {:?}", it.health().trouble());
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn both_sides_know_each_other_by_certificates_or_nothing_is_said() {
    let Some(mut etcd) = Etcd::find(1) else { return };
    let (authority, stranger) = (Authority::new("one"), Authority::new("two"));
    let of_etcd = issue(&authority);
    let own = issue(&authority);
    let file = |name: &str, text: &str| keep(etcd.dir(), name, text);
    let flags = [
        ("--cert-file", file("etcd.pem", &of_etcd.certificate)),
        ("--key-file", file("etcd.key", &of_etcd.key)),
        ("--trusted-ca-file", file("authority.pem", &authority.pem())),
    ];
    let (own_file, own_key_file) = (file("own.pem", &own.certificate), file("own.key", &own.key));
    let flags = flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    etcd.secured(flags.chain(["--client-cert-auth".to_owned()]).collect());
    let mut options = etcd.options(Duration::from_secs(1));
    let error = EtcdCoordinator::new("a group", NodeId(1), &options).expect_err("no authorities");
    assert!(matches!(error, EtcdError::NoAuthorities { .. }), "{error}");
    let authorities = etcd.dir().join("authority.pem");
    let tls = EtcdTls::from_files(&authorities, Some((own_file.as_ref(), own_key_file.as_ref())));
    options.tls = Some(tls.expect("files"));
    etcd.run(0);
    let mut it = coordinator(&options);
    assert_eq!(wait(&mut it), CoordinatorEvent::NoRecord);
    it.swap(1, Version(0), GroupRecord::new([NodeId(1)]));
    let swapped = wait(&mut it);
    assert!(
        matches!(swapped, CoordinatorEvent::Swapped { swapped: Swapped::Done(_), .. }),
        "{swapped:?}"
    );
    // Another authority's etcd is none; and etcd takes no stranger, nor one who shows nothing.
    let pem = |text: String| text.into_bytes();
    let shown = |own: Own| Some((pem(own.certificate), pem(own.key)));
    let (others, mine) = (shown(issue(&stranger)), shown(own));
    for (authorities, shown) in
        [(stranger.pem(), mine), (authority.pem(), others), (authority.pem(), None)]
    {
        options.tls = Some(EtcdTls { authorities: pem(authorities), own: shown });
        let mut refused = coordinator(&options);
        etcd.wait("that it is refused", || refused.health().trouble().is_some());
        assert_eq!((refused.poll(), refused.health().answered()), (None, None));
    }
    for (authorities, own) in [
        (b"nonsense".to_vec(), None),
        (pem(authority.pem()), Some((b"nonsense".to_vec(), b"nonsense".to_vec()))),
        (pem(authority.pem()), Some((pem(authority.pem()), b"nonsense".to_vec()))),
    ] {
        options.tls = Some(EtcdTls { authorities, own });
        let error = EtcdCoordinator::new("a group", NodeId(1), &options).expect_err("no PEM");
        assert!(matches!(error, EtcdError::Certificate { .. }), "{error}");
    }
}

/// Asks etcd's own way of speaking HTTP for something.
fn post(etcd: &Etcd, path: &str, body: &str, token: Option<&str>) -> String {
    let mut request = ureq::post(format!("{}{path}", etcd.endpoint(0)));
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    request.send(body).expect(path).body_mut().read_to_string().expect("text")
}

#[test]
fn a_user_and_a_password_open_it_and_a_wrong_one_does_not() {
    let Some(etcd) = Etcd::start(1) else { return };
    for (path, body) in [
        ("/v3/auth/user/add", r#"{"name":"root","password":"r"}"#),
        ("/v3/auth/role/add", r#"{"name":"root"}"#),
        ("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("/v3/auth/user/add", r#"{"name":"rules","password":"secret"}"#),
        ("/v3/auth/role/add", r#"{"name":"rules"}"#),
        ("/v3/auth/user/grant", r#"{"user":"rules","role":"rules"}"#),
        // Keys from `steadfast/` up to `steadfast0`.
        (
            "/v3/auth/role/grant",
            r#"{"name":"rules","perm":{"permType":"READWRITE","key":"c3RlYWRmYXN0Lw==","range_end":"c3RlYWRmYXN0MA=="}}"#,
        ),
        ("/v3/auth/enable", "{}"),
    ] {
        post(&etcd, path, body, None);
    }
    let mut options = etcd.options(Duration::from_secs(1));
    options.user = Some(("rules".to_owned(), "secret".to_owned()));
    // What needs a password needs some time for it.
    options.request = Duration::from_secs(1);
    options.lease = Duration::from_secs(8);
    let mut it = coordinator(&options);
    assert_eq!(wait(&mut it), CoordinatorEvent::NoRecord);
    it.swap(1, Version(0), GroupRecord::new([NodeId(1)]));
    let swapped = wait(&mut it);
    assert!(
        matches!(swapped, CoordinatorEvent::Swapped { swapped: Swapped::Done(_), .. }),
        "{swapped:?}"
    );
    // A change of the rights makes old tokens useless; new ones are got.
    let root = post(&etcd, "/v3/auth/authenticate", r#"{"name":"root","password":"r"}"#, None);
    let (_, root) = root.split_once(r#""token":""#).expect("a token");
    let root = root.split('"').next();
    post(&etcd, "/v3/auth/role/add", r#"{"name":"another"}"#, root);
    it.read();
    assert!(matches!(wait(&mut it), CoordinatorEvent::Record(..)));
    for user in [None, Some(("rules".to_owned(), "wrong".to_owned()))] {
        options.user = user;
        let mut refused = coordinator(&options);
        etcd.wait("that it is refused", || refused.health().trouble().is_some());
        assert_eq!(refused.poll(), None);
    }
}

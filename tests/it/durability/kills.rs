//! A session with everything at once, killed at random moments, again and again: what comes back is
//! the state of one of its commits, none that was acknowledged is missing, no effect is delivered
//! twice with different contents and none is lost, and it goes on like a twin that was never killed.

use std::collections::BTreeMap;
use std::path::Path;

use steadfast::prelude::*;
use steadfast::{CommitSeq, Normalization};

use super::life::{Draw, Life, Mail, orders, with_warn};
use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, durable, said};

/// The keys by which consumers know effects, with what they say.
pub(crate) type Mails = BTreeMap<(u64, u32), String>;

/// What a child does, from the work that its task names, until it is killed or has done the last.
fn live(dir: &Path, task: &str) {
    let (first, last, level) = {
        let mut words = task.split(' ');
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        (number(), number(), number())
    };
    let level = if level == 0 { Sync::Batch } else { Sync::Process };
    let busy = Normalization::default().dead_percent(1).bytes_per_second(None);
    let open = |rules| {
        let builder = Session::durable(dir).sync(level).segment_bytes(64 << 10);
        builder.normalization(busy).open(rules)
    };
    let mut session = open(orders()).or_else(|_| open(with_warn())).unwrap();
    let mut deliver =
        |commit, ordinal, mail: &Mail| tell(format!("mail {commit} {ordinal} {mail:?}"));
    for work in first..last {
        let mut life = Life { session: &mut session, deliver: &mut deliver };
        while !life.part(work).unwrap() {}
        tell(format!("done {}", session.last_commit().get()));
    }
    let status = session.journal_status().unwrap().unwrap();
    assert_eq!(status.last_error, None);
    session.close().unwrap();
    tell("end");
    wait_for_the_end();
}

/// The session that is never killed, and what it has sent.
pub(crate) struct Twin {
    pub(crate) session: Session,
    pub(crate) work: u64,
    /// Everything that it ever emitted.
    pub(crate) mails: Mails,
    /// What it would have delivered by now.
    delivered: Mails,
}

impl Twin {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, work: 0, mails: Mails::new(), delivered: Mails::new() }
    }

    fn part(&mut self) {
        let delivered = &mut self.delivered;
        let mut deliver = |commit, ordinal, mail: &Mail| {
            delivered.insert((commit, ordinal), format!("{mail:?}"));
        };
        let mut life = Life { session: &mut self.session, deliver: &mut deliver };
        if life.part(self.work).unwrap() {
            self.work += 1;
        }
        self.mails.extend(waiting(&mut self.session));
    }

    /// Goes on until it is where the killed one was after this commit.
    pub(crate) fn go_to(&mut self, commit: CommitSeq) {
        while self.session.last_commit() < commit {
            self.part();
        }
        assert_eq!(self.session.last_commit(), commit, "a commit that the twin never makes");
    }
}

/// Effects that nobody has acknowledged.
pub(crate) fn waiting(session: &mut Session) -> Mails {
    let mails = session.effects::<Mail>().unwrap();
    mails
        .iter()
        .map(|mail| ((mail.key.commit.get(), mail.key.ordinal), format!("{:?}", **mail)))
        .collect()
}

/// What the parent has heard of its children.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) commit: u64,
    pub(crate) mails: Mails,
    /// The same effect, delivered again after a crash.
    repeated: u64,
}

impl Heard {
    /// Takes in what a child tells; returns whether it was a work that is done.
    pub(crate) fn take(&mut self, told: &str) -> bool {
        let (what, rest) = told.split_once(' ').expect("a word and more");
        if what == "done" {
            self.commit = rest.parse().expect("a number");
            return true;
        }
        assert_eq!(what, "mail");
        let mut words = rest.splitn(3, ' ');
        let mut word = || words.next().expect("three words");
        let key = (word().parse().expect("a number"), word().parse().expect("a number"));
        if let Some(before) = self.mails.insert(key, word().to_owned()) {
            assert_eq!(before, self.mails[&key], "delivered twice, with different contents");
            self.repeated += 1;
        }
        false
    }
}

fn rounds() -> u64 {
    if std::env::var_os("STEADFAST_SOAK").is_some() { 1_000 } else { 50 }
}

const NAME: &str =
    "durability::kills::killed_again_and_again_a_session_lives_like_one_that_never_was";

/// Testing list 22 for sessions; INV-71, INV-72, INV-79.
#[test]
fn killed_again_and_again_a_session_lives_like_one_that_never_was() {
    if let Some((dir, task)) = task() {
        return live(&dir, &task);
    }
    let (disk, twin_disk) = (Disk::new(), Disk::real());
    let session = twin_disk.open(orders());
    let mut twin = Twin::new(session);
    let mut heard = Heard::default();
    let mut draw = Draw(22);
    let (mut cut, mut normalized) = (0, 0);
    for round in 0..rounds() {
        // Every eighth dies while it opens; at both levels.
        let works = if round % 8 == 7 { 0 } else { draw.next(300) };
        let mut child =
            Child::start(NAME, &disk.path(), &format!("{} {} {}", twin.work, u64::MAX, round % 4));
        let mut done = 0;
        while done < works {
            done += u64::from(heard.take(&child.hear().expect("it lives until it is killed")));
        }
        for _ in 0..draw.next(100_000) {
            std::hint::spin_loop();
        }
        child.kill_and_hear(|told| {
            heard.take(told);
        });

        // What it left is looked at in a copy: the next one opens it as it is.
        let copy = disk.crash();
        if !copy.path().join("MANIFEST").exists() {
            continue; // It died before there was anything.
        }
        normalized += u64::from(has_compacted(&copy.path()));
        let open = |rules| durable(&copy.path()).open(rules);
        let mut session = open(orders()).or_else(|_| open(with_warn())).unwrap();
        cut += u64::from(session.recovery().is_some_and(|recovery| recovery.cut));
        assert!(
            session.last_commit().get() >= heard.commit,
            "round {round}: acknowledged and lost"
        );
        twin.go_to(session.last_commit());
        assert_eq!(session.digest(), twin.session.digest(), "round {round}");
        assert_eq!(session.pending(), twin.session.pending(), "round {round}");
        assert_eq!(session.waiting(), twin.session.waiting(), "round {round}");
        // What does not wait any more was delivered, and what was delivered is what the twin sent.
        let left = waiting(&mut session);
        for (key, mail) in &twin.mails {
            assert!(left.get(key).or(heard.mails.get(key)) == Some(mail), "round {round}: {key:?}");
        }
        assert!(left.keys().chain(heard.mails.keys()).all(|key| twin.mails.contains_key(key)));
    }
    assert!(said().is_empty());
    the_last(&disk, &mut twin, &mut heard);
    println!(
        "{} works, {} commits, {} effects, {} delivered again, {cut} torn, {normalized} normalized",
        twin.work,
        heard.commit,
        twin.mails.len(),
        heard.repeated,
    );
    assert!(normalized > 0, "the background was at work");
    assert!(heard.repeated > 100, "effects were delivered again");
}

/// The last one lives to its end.
fn the_last(disk: &Disk, twin: &mut Twin, heard: &mut Heard) {
    let last = twin.work + 100;
    let mut child = Child::start(NAME, &disk.path(), &format!("{} {last} 0", twin.work));
    loop {
        let told = child.hear().expect("it lives");
        if told == "end" {
            break;
        }
        heard.take(&told);
    }
    child.kill();
    while twin.work < last {
        twin.part();
    }
    let open = |rules| durable(&disk.path()).open(rules);
    let mut session = open(orders()).or_else(|_| open(with_warn())).unwrap();
    assert_eq!(session.digest(), twin.session.digest());
    let left = waiting(&mut session);
    assert_eq!(left, waiting(&mut twin.session), "what nobody has acknowledged");
    assert_eq!(heard.mails, twin.delivered, "what was delivered, by keys and contents");
}

fn has_compacted(dir: &Path) -> bool {
    let mut names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().ends_with("-0001.jnl"))
}

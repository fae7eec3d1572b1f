//! Journals that are normalized: smaller, and nothing else.

use std::path::Path;

use steadfast::prelude::*;
use steadfast::{Kept, Normalization};

use crate::child::{Child, task, tell};
use crate::support::{Disk, durable, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Meter {
    id: u64,
    value: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct High {
    meter: u64,
}

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    meter: u64,
}

#[rule(logical)]
fn high(#[when(m.value % 10 > 7)] m: &Meter) -> High {
    High { meter: m.id }
}

#[rule(salience = -1)]
fn alarm(h: &High, cx: &mut Then) -> RuleResult {
    say(format!("alarm {}", h.meter));
    if h.meter.is_multiple_of(5) {
        cx.emit(Alarm { meter: h.meter })?;
    }
    Ok(())
}

ruleset!(meters = 1: high, alarm; facts: High);

/// A round of a life that inserts, changes, fires, acknowledges and deletes.
fn round(session: &mut Session, number: u64) {
    watched_round(session, number, &mut |_| ());
}

/// The same for one who looks at the session after each of its commits.
fn watched_round(session: &mut Session, number: u64, see: &mut dyn FnMut(&Session)) {
    let live = session.insert(Meter { id: number, value: number }).unwrap();
    see(session);
    session.fire_all().unwrap();
    see(session);
    for value in 1..4 {
        session.update(live, |meter| meter.value += value).unwrap();
        see(session);
    }
    if number.is_multiple_of(3) {
        session.fire(1).unwrap();
        see(session);
    }
    if !number.is_multiple_of(4) {
        session.delete(live).unwrap();
        see(session);
    }
    if number.is_multiple_of(20) {
        let due: Vec<_> =
            session.effects::<Alarm>().unwrap().iter().map(|effect| effect.key).collect();
        for key in due.into_iter().skip(1) {
            session.acknowledge(key).unwrap();
        }
    }
}

fn journal_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".jnl"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum()
}

/// Scenarios 59 to 66 and 70: what remains is what the future depends on, whatever cancelled.
#[test]
fn a_normalized_session_is_the_same_and_its_future_as_well() {
    let (disk, twin_disk) = (Disk::new(), Disk::new());
    let mut session = disk.open(meters());
    for number in 1..200 {
        round(&mut session, number);
    }
    // The highest handle is that of a fact that is gone: nothing but a counter knows of it.
    let highest = session.insert(Meter { id: 0, value: 0 }).unwrap();
    session.delete(highest).unwrap();
    crate::support::copy_files(&disk.path(), &twin_disk.path());
    let (digest, effects) = (session.digest(), session.effect_count());
    let done = session.normalize().unwrap().expect("there was something to gain");
    assert!(done.bytes_after * 4 < done.bytes_before, "{done:?}");
    assert_eq!((session.digest(), session.effect_count()), (digest, effects));
    let crashed = disk.crash();
    let mut lives = [session, crashed.open(meters()), twin_disk.open(meters())];
    said();
    let mut heard = Vec::new();
    for session in &mut lives {
        assert_eq!((session.digest(), session.effect_count()), (digest, effects));
        let next = session.insert(Meter { id: 1000, value: 8 }).unwrap();
        assert_eq!(next.fact().get(), highest.fact().get() + 1, "handles go on");
        for number in 200..230 {
            round(session, number);
        }
        heard.push((session.digest(), session.pending(), said()));
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
}

/// Normalizing what is normal changes nothing; not even a file.
#[test]
fn twice_is_once() {
    let disk = Disk::new();
    let mut session = disk.open(meters());
    for number in 1..100 {
        round(&mut session, number);
    }
    session.normalize().unwrap().expect("there was something to gain");
    let bytes = journal_bytes(&disk.path());
    assert_eq!(session.normalize().unwrap(), None);
    assert_eq!(journal_bytes(&disk.path()), bytes);
    let status = session.journal_status().unwrap().expect("it is on disk");
    assert_eq!((status.normalizations, status.last_error), (1, None));
    let reasons: Vec<Kept> = status.kept.into_iter().map(|kept| kept.reason).collect();
    assert!(matches!(reasons[..], [Kept::TooLive { .. }, Kept::Active]), "{reasons:?}");
    assert_eq!(memory(meters()).normalize().unwrap(), None);
}

/// INV-77: with the normalizer at work all the time, the same firings, handles and digest.
#[test]
fn the_background_changes_nothing_that_a_session_does() {
    let disk = Disk::real();
    let busy = Normalization::default().dead_percent(1).bytes_per_second(None);
    let open = || {
        let builder = Session::durable(disk.path()).sync(Sync::Process).segment_bytes(64 << 10);
        builder.normalization(busy).open(meters()).unwrap()
    };
    let mut session = open();
    let mut twin = memory(meters());
    let mut number = 0;
    loop {
        number += 1;
        round(&mut session, number);
        let heard = said();
        round(&mut twin, number);
        assert_eq!(heard, said(), "round {number}");
        assert_eq!(session.digest(), twin.digest(), "round {number}");
        let status = session.journal_status().unwrap().expect("it is on disk");
        assert_eq!(status.last_error, None);
        if number.is_multiple_of(500) {
            drop(session);
            session = open();
            assert_eq!(session.digest(), twin.digest(), "reopened in round {number}");
        }
        if status.normalizations >= 3 {
            break;
        }
        assert!(number < 100_000, "nothing is normalized in the background");
    }
}

/// Testing list 22: killed while it normalizes, the session has every acknowledged commit.
#[test]
fn killed_while_it_normalizes_the_session_has_every_acknowledged_commit() {
    const NAME: &str = "durability::normalize::killed_while_it_normalizes_the_session_has_every_acknowledged_commit";
    if let Some((dir, _)) = task() {
        let mut session = durable(&dir).open(meters()).unwrap();
        for number in 1.. {
            round(&mut session, number);
            if number % 7 == 0 {
                tell("normalize");
                session.normalize().unwrap();
            }
            tell(number);
        }
    }
    for acknowledged in 20..30 {
        let disk = Disk::new();
        let mut child = Child::start(NAME, &disk.path(), "");
        while child.hear().expect("it runs until it is killed") != acknowledged.to_string() {}
        // In a normalization, or shortly before or behind it.
        if acknowledged % 2 == 0 {
            while child.hear().expect("it runs until it is killed") != "normalize" {}
        }
        child.kill();
        let mut session = disk.open(meters());
        // A twin with a journal, too: its first commit is its ruleset.
        let twin_disk = Disk::new();
        let mut twin = twin_disk.open(meters());
        let commit = session.last_commit();
        let (mut number, mut digest) = (0, None);
        while digest.is_none() {
            number += 1;
            watched_round(&mut twin, number, &mut |twin| {
                if twin.last_commit() == commit {
                    digest = Some(twin.digest());
                }
            });
            assert!(twin.last_commit() < commit || digest.is_some(), "{commit} is no commit");
        }
        assert!(number >= acknowledged, "{number} of {acknowledged}");
        assert_eq!(Some(session.digest()), digest);
        said();
        session.fire_all().unwrap();
        session.normalize().unwrap();
        let digest = session.digest();
        drop(session);
        assert_eq!(disk.open(meters()).digest(), digest);
    }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Page {
    text: String,
}

#[rule]
fn short(#[when(p.text.len() < 3)] p: &Page) {
    say(&p.text);
}

ruleset!(pages = 1: short);

fn load(session: &mut Session) -> Vec<Handle<Page>> {
    let pages = (0..600).map(|nth| Page { text: "x".repeat(nth * 37 % 500) });
    session.transact(|tx| pages.map(|page| Ok(tx.insert(page)?)).collect()).unwrap()
}

/// Deletes every third page and empties another one.
fn thin_out(session: &mut Session, pages: &[Handle<Page>]) {
    session
        .transact(|tx| {
            pages.iter().step_by(3).try_for_each(|page| tx.delete(*page).map(drop))?;
            Ok(())
        })
        .unwrap();
    session.update(pages[1], |page| page.text.clear()).unwrap();
    session.flush().unwrap();
}

/// One record stands for many of them: they come back one by one, and so does what is left of them.
#[test]
fn facts_that_came_together_survive_and_are_normalized_one_by_one() {
    let disk = Disk::new();
    let open =
        |disk: &Disk| durable(&disk.path()).normalization(Normalization::off()).open(pages());
    let (mut session, mut twin) = (open(&disk).unwrap(), memory(pages()));
    let (facts, twins) = (load(&mut session), load(&mut twin));
    let crashed = disk.crash();
    drop(session);
    let mut session = open(&crashed).unwrap();
    assert_eq!(session.digest(), twin.digest());
    session.fire_all().unwrap();
    let fired = said();
    twin.fire_all().unwrap();
    assert_eq!((fired.len(), fired), (4, said()));
    thin_out(&mut session, &facts);
    thin_out(&mut twin, &twins);
    assert!(session.normalize().unwrap().is_some(), "much is dead");
    drop(session);
    assert_eq!(open(&crashed).unwrap().digest(), twin.digest());
}

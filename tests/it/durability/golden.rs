//! Sessions of every released format open for ever, as they were, and go on as they would have.
//!
//! The directories under `tests/golden/` were written by this code and are never written again. A newer
//! format adds one: run this test with `STEADFAST_GOLDEN_NEW` naming it.

use std::path::{Path, PathBuf};

use steadfast::Ruleset;
use steadfast::prelude::*;

use super::Sight;
use crate::support::{Disk, copy_files, durable, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Account {
    id: u64,
    owner: String,
    limit: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    account: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "30s")]
struct Login {
    account: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Waiver {
    account: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Overdrawn {
    account: u64,
}

#[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Tariff {
    fee: i64,
}

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Letter {
    account: u64,
    fee: i64,
}

/// Derived, from an accumulate, with an absence.
#[rule(logical)]
fn overdrawn(
    a: &Account,
    #[not(w.account == a.id)] w: Absent<Waiver>,
    #[each(p: Payment, p.account == a.id)]
    #[aggregate(sum(p.amount), count())]
    g: Group<Payment, (), (i64, u64)>,
    #[having(g.0 > a.limit)] _h: Having,
) -> Overdrawn {
    say(format!("{} spent {} in {}", a.owner, g.0, g.1));
    Overdrawn { account: a.id }
}

/// Sends an effect, draws by chance, focuses another group.
#[rule(salience = 5)]
fn warn(o: &Overdrawn, cx: &mut Then) -> RuleResult {
    let line = cx.random() % 100;
    say(format!("warn {} on line {line}", o.account));
    let fee = cx.global::<Tariff>()?.map_or(10, |tariff| tariff.fee);
    cx.emit(Letter { account: o.account, fee })?;
    cx.focus("audit")?;
    Ok(())
}

#[rule(group = "audit", no_loop)]
fn audit(o: &Overdrawn, #[when(a.id == o.account)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
    say(format!("audit {}", a.owner));
    cx.update(a, |account| account.limit -= 1)?;
    Ok(())
}

/// One of two for each account that is looked at.
#[rule(activation_group = "greeting", salience = 2)]
fn greet(a: &Account, #[when(l.account == a.id)] l: &Login) {
    say(format!("{} is back, {}", a.owner, l.account));
}

#[rule(activation_group = "greeting", salience = a.limit as i32 % 3)]
fn wave(a: &Account, #[when(l.account == a.id)] l: &Login) {
    say(format!("wave at {}, {}", a.owner, l.account));
}

/// Waits, again and again.
#[rule(timer(initial = "10s", every = "20s"))]
fn remind(o: &Overdrawn, cx: &mut Then) {
    say(format!("remind {} at {}", o.account, cx.now()));
}

/// Over the last payments alone.
#[rule(salience = -1)]
fn latest(
    #[window(length = 3)]
    #[aggregate(count(), sum(p.amount))]
    g: Group<Payment, (), (u64, i64)>,
) {
    say(format!("the last {} make {}", g.0, g.1));
}

/// From an entry point.
#[rule]
fn refund(
    a: &Account,
    #[when(p.account == a.id)]
    #[from("branch")]
    p: &Payment,
) {
    say(format!("{} paid back {}", a.owner, p.amount));
}

fn accounts() -> Ruleset {
    ruleset!(accounts = 1: overdrawn, warn, audit, greet, wave, remind, latest, refund);
    accounts()
}

fn account(id: u64) -> Account {
    Account { id, owner: format!("owner {id}"), limit: 100 }
}

/// A round of what this session does; some of it stays, most of it goes.
fn round(session: &mut Session, number: u64) {
    let id = number % 5;
    if number < 5 {
        session.insert(account(id)).unwrap();
    }
    let amount = i64::try_from(number * 7 % 90).unwrap();
    let payment = session.insert(Payment { account: id, amount }).unwrap();
    session.insert(Login { account: id }).unwrap();
    if number.is_multiple_of(6) {
        session.entry("branch").insert(Payment { account: id, amount: -amount }).unwrap();
    }
    session.fire(4).unwrap();
    session.update(payment, |payment| payment.amount += 3).unwrap();
    if !number.is_multiple_of(3) {
        session.delete(payment).unwrap();
    }
    if number.is_multiple_of(11) {
        let waiver = session.insert(Waiver { account: id }).unwrap();
        session.fire_all().unwrap();
        session.delete(waiver).unwrap();
    }
    if number.is_multiple_of(13) {
        session.set_global(Tariff { fee: amount }).unwrap();
        let due: Vec<_> = session.effects::<Letter>().unwrap().iter().map(|e| e.key).collect();
        for key in due.into_iter().skip(1) {
            session.acknowledge(key).unwrap();
        }
    }
    session.advance_clock(i64::try_from(number * 700).unwrap()).unwrap();
}

/// What the journal holds normalized.
fn long_ago(session: &mut Session) {
    (0..120).for_each(|number| round(session, number));
}

/// What it holds as it was written; it ends in the middle of things.
fn lately(session: &mut Session) {
    (120..150).for_each(|number| round(session, number));
    session.insert(Payment { account: 1, amount: 500 }).unwrap();
    session.fire(1).unwrap();
    session.insert(Payment { account: 2, amount: 600 }).unwrap();
}

/// What it does when it was opened again.
fn future(session: &mut Session) -> Vec<String> {
    session.fire_all().unwrap();
    session.advance_clock(200_000).unwrap();
    (300..340).for_each(|number| round(session, number));
    session.fire_all().unwrap();
    said()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Writes the session; it is closed in order.
fn write(dir: &Path) {
    let mut session = durable(dir).open(accounts()).unwrap();
    long_ago(&mut session);
    session.normalize().unwrap().expect("there was something to gain");
    lately(&mut session);
    session.close().unwrap();
    std::fs::remove_file(dir.join("LOCK")).unwrap();
    std::fs::remove_file(dir.join("MANIFEST.prev")).unwrap();
}

#[test]
fn sessions_of_every_released_format_open_as_they_were_and_go_on() {
    if let Some(name) = std::env::var_os("STEADFAST_GOLDEN_NEW") {
        write(&directory().join(name));
    }
    let twin_disk = Disk::new();
    let mut twin = twin_disk.open(accounts());
    long_ago(&mut twin);
    lately(&mut twin);
    said();
    let was = Sight::of(&twin);
    assert!(!was.pending.is_empty() && was.effects > 0, "it ends in the middle of things");
    let expected = (future(&mut twin), Sight::of(&twin));
    assert!(expected.0.len() > 100, "{} lines are said", expected.0.len());
    let mut versions = 0;
    for version in std::fs::read_dir(directory()).unwrap() {
        let golden = version.unwrap().path();
        let disk = Disk::new();
        copy_files(&golden, &disk.path());
        let mut session = disk.open(accounts());
        assert!(said().is_empty(), "nothing runs in a recovery");
        assert_eq!(Sight::of(&session), was, "{}", golden.display());
        assert_eq!((future(&mut session), Sight::of(&session)), expected);
        session.close().unwrap();
        assert_eq!(Sight::of(&disk.open(accounts())), expected.1);
        versions += 1;
    }
    assert!(versions > 0, "there are golden sessions");
}

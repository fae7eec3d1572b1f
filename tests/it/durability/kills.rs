//! A session with everything at once, killed at random moments, again and again: what comes back is
//! the state of one of its commits, none that was acknowledged is missing, no effect is delivered
//! twice with different contents and none is lost, and it goes on like a twin that was never killed.
//!
//! Its life is a list of works, each a function of its number and of the session, so that whoever is
//! killed goes on with the work that was not done, and a twin that nobody kills does the same.

use std::collections::BTreeMap;
use std::path::Path;

use steadfast::ir::Rule;
use steadfast::prelude::*;
use steadfast::{CommitSeq, Error, Normalization, Ruleset};

use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, durable, said};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
    open: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "7s")]
struct Ping {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Late {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Verdict {
    order: u64,
    text: String,
}

/// What consumers see; the number drawn by chance would differ if anything was done twice.
#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Mail {
    text: String,
    draw: u64,
}

fn mail(cx: &mut Then, text: String) -> RuleResult {
    let draw = cx.random();
    cx.emit(Mail { text, draw })?;
    Ok(())
}

#[rule(logical)]
fn hold(#[when(o.open && o.amount % 5 == 0)] o: &Order) -> Hold {
    Hold { order: o.id }
}

/// Late after a while, unless somebody still asks for it.
#[rule(logical, timer = "9s")]
fn late(#[when(o.open)] o: &Order, #[not(p.order == o.id)] p: Absent<Ping>) -> Late {
    Late { order: o.id }
}

#[rule(timer(initial = "2s", every = "6s"))]
fn remind(#[when(o.open && o.amount > 50)] o: &Order, cx: &mut Then) -> RuleResult {
    mail(cx, format!("remind {} at {}", o.id, cx.now()))
}

#[rule(group = "audit", auto_focus, lock_on_active)]
fn audit(h: &Hold, cx: &mut Then) -> RuleResult {
    mail(cx, format!("audit {}", h.order))
}

#[rule(activation_group = "verdict", salience = 2)]
fn refuse(#[when(o.amount > 80)] o: &Order, cx: &mut Then) -> RuleResult {
    cx.insert(Verdict { order: o.id, text: "refused".into() })?;
    Ok(())
}

#[rule(activation_group = "verdict", salience = 1)]
fn accept(#[when(o.amount > 20)] o: &Order, cx: &mut Then) -> RuleResult {
    let text = format!("accepted {}", cx.random() % 1000);
    cx.insert(Verdict { order: o.id, text })?;
    Ok(())
}

#[rule(no_loop, on_error = "skip")]
fn close(l: &Late, #[when(o.id == l.order)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.update(o, |order| order.open = false)?;
    if l.order.is_multiple_of(7) {
        return Err(RuleError::new("this one is not to be closed"));
    }
    mail(cx, format!("closed {}", l.order))
}

#[rule(salience = -5)]
fn sum(
    #[window(length = 5)]
    #[when(o.open)]
    #[aggregate(count(), sum(o.amount))]
    g: Group<Order, (), (u64, i64)>,
    cx: &mut Then,
) -> RuleResult {
    mail(cx, format!("{} open, {} in all", g.0, g.1))
}

/// Comes and goes while the session is open.
#[rule(logical, salience = 3)]
fn warn(v: &Verdict, #[when(h.order == v.order)] h: &Hold) -> Late {
    Late { order: h.order }
}

ruleset!(orders = 1: hold, late, remind, audit, refuse, accept, close, sum);

fn with_warn() -> Ruleset {
    orders().rule(warn::definition())
}

/// Draws for one work, from its number alone.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % below
    }
}

/// The keys by which consumers know effects, with what they say.
type Mails = BTreeMap<(u64, u32), String>;

/// One session's life, from outside.
struct Life<'a> {
    session: &'a mut Session,
    /// Told of every effect before it is acknowledged.
    deliver: &'a mut dyn FnMut(u64, u32, &Mail),
}

impl Life<'_> {
    /// Does a part of a work, at most one commit; returns whether the work is done.
    ///
    /// # Errors
    ///
    /// The session's.
    fn part(&mut self, work: u64) -> Result<bool, Error> {
        let mut draw = Draw(work);
        match draw.next(16) {
            // These would evaluate what is staged, with a commit of its own.
            0..=4 | 14 if self.evaluates()? => return Ok(false),
            0..=4 => self.change(&mut draw)?,
            5 | 6 => drop(self.session.fire(1 + draw.next(3))?),
            // As a run that commits after every second firing.
            7..=9 => return Ok(self.session.fire(2)?.count == 0),
            10 | 11 => self.session.advance_clock(
                self.session.now() + 500 + i64::try_from(draw.next(3000)).unwrap(),
            )?,
            12 => self.session.flush()?,
            13 => self.session.focus("audit")?,
            14 => self.rules()?,
            _ => self.mails()?,
        }
        Ok(true)
    }

    /// Evaluates what is staged; returns whether there was anything.
    fn evaluates(&mut self) -> Result<bool, Error> {
        let before = self.session.last_commit();
        self.session.flush()?;
        Ok(self.session.last_commit() != before)
    }

    /// Some changes in one transaction; the oldest orders go.
    fn change(&mut self, draw: &mut Draw) -> Result<(), Error> {
        let orders: Vec<_> = self.session.query::<Order>()?.iter().map(Ref::handle).collect();
        let verdicts = self.session.query::<Verdict>()?;
        let old: Vec<_> = verdicts.iter().rev().skip(20).map(Ref::handle).collect();
        self.session.transact(|stage| {
            for _ in 0..=draw.next(3) {
                let (id, amount) = (draw.next(30), i64::try_from(draw.next(100)).unwrap());
                match draw.next(5) {
                    0 | 1 => drop(stage.insert(Order { id, amount, open: true })?),
                    2 => drop(stage.insert(Ping { order: id })?),
                    _ => {
                        let Some(order) = orders.get(usize::try_from(id).unwrap()) else {
                            continue;
                        };
                        stage.update(*order, |order| {
                            (order.amount, order.open) = (amount, amount % 3 > 0);
                        })?;
                    }
                }
            }
            for order in orders.iter().take(orders.len().saturating_sub(25)) {
                stage.delete(*order)?;
            }
            for verdict in &old {
                stage.delete(*verdict)?;
            }
            Ok(())
        })
    }

    fn rules(&mut self) -> Result<(), Error> {
        let warn = warn::definition();
        if self.session.engine().rule_paths().contains(&warn.path.as_str()) {
            self.session.remove_rule(&warn.path)
        } else {
            self.session.add_rule(&warn)
        }
    }

    /// Delivers what waits, and says so; of every third commit only much later.
    fn mails(&mut self) -> Result<(), Error> {
        let last = self.session.last_commit().get();
        for mail in self.session.effects::<Mail>()? {
            let (key, commit) = (mail.key, mail.key.commit.get());
            (self.deliver)(commit, key.ordinal, &mail);
            if commit % 3 > 0 || commit + 100 < last {
                self.session.acknowledge(key)?;
            }
        }
        Ok(())
    }
}

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
struct Twin {
    session: Session,
    work: u64,
    /// Everything that it ever emitted.
    mails: Mails,
    /// What it would have delivered by now.
    delivered: Mails,
}

impl Twin {
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
    fn go_to(&mut self, commit: CommitSeq) {
        while self.session.last_commit() < commit {
            self.part();
        }
        assert_eq!(self.session.last_commit(), commit, "a commit that the twin never makes");
    }
}

/// Effects that nobody has acknowledged.
fn waiting(session: &mut Session) -> Mails {
    let mails = session.effects::<Mail>().unwrap();
    mails
        .iter()
        .map(|mail| ((mail.key.commit.get(), mail.key.ordinal), format!("{:?}", **mail)))
        .collect()
}

/// What the parent has heard of its children.
#[derive(Default)]
struct Heard {
    commit: u64,
    mails: Mails,
    /// The same effect, delivered again after a crash.
    repeated: u64,
}

impl Heard {
    /// Takes in what a child tells; returns whether it was a work that is done.
    fn take(&mut self, told: &str) -> bool {
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
    let mut twin = Twin { session, work: 0, mails: Mails::new(), delivered: Mails::new() };
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

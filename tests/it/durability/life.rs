//! A session with everything at once, and its life.
//!
//! That is a list of works, each a function of its number and of the session, so that whoever was
//! interrupted goes on with the work that was not done, and a twin that nobody interrupts does the same.

use steadfast::ir::Rule;
use steadfast::prelude::*;
use steadfast::{Error, Ruleset};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    id: u64,
    amount: i64,
    open: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "7s")]
pub(crate) struct Ping {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Late {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    order: u64,
    text: String,
}

/// Of orders of one number one has it: derived, or stated by somebody.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
pub(crate) struct Badge {
    #[fact(key)]
    order: u64,
    amount: i64,
}

/// What consumers see; the number drawn by chance would differ if anything was done twice.
#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Mail {
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

/// An order that changes has another one under its number, which no other order may have.
#[rule(logical, on_error = "skip")]
fn badge(#[when(o.open && o.amount > 30)] o: &Order) -> Badge {
    Badge { order: o.id, amount: o.amount }
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

ruleset!(pub(crate) orders = 1: hold, badge, late, remind, audit, refuse, accept, close, sum);

pub(crate) fn with_warn() -> Ruleset {
    orders().rule(warn::definition())
}

/// Draws for one work, from its number alone.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % below
    }
}

/// One session's life, from outside.
pub(crate) struct Life<'a> {
    pub(crate) session: &'a mut Session,
    /// Told of every effect before it is acknowledged.
    pub(crate) deliver: &'a mut dyn FnMut(u64, u32, &Mail),
}

impl Life<'_> {
    /// Does a part of a work, at most one commit; returns whether the work is done.
    ///
    /// # Errors
    ///
    /// The session's.
    pub(crate) fn part(&mut self, work: u64) -> Result<bool, Error> {
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
                match draw.next(6) {
                    5 if amount > 60 => drop(stage.insert_unique(Badge { order: id, amount })?),
                    5 => {
                        let badges = stage.query::<Badge>();
                        let Some(found) = badges.iter().find(|badge| badge.order == id) else {
                            continue;
                        };
                        let found = found.handle();
                        stage.delete(found)?;
                    }
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

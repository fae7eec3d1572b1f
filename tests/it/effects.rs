//! Effects: they leave through the outbox, after their commit, until somebody acknowledges them.

use steadfast::prelude::*;
use steadfast::{EffectKey, Error};

use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, durable, memory};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Effect, PartialEq, Debug, Serialize, Deserialize)]
struct Mail {
    order: u64,
    line: u32,
}

#[derive(Effect, PartialEq, Debug, Serialize, Deserialize)]
#[effect(topic = "ship")]
struct Ship {
    order: u64,
}

/// Two mails and a shipment for each order; an order of nothing fails after it has sent its mails.
fn serve(o: &Order, cx: &mut Then) -> RuleResult {
    cx.emit(Mail { order: o.id, line: 1 })?;
    cx.emit(Mail { order: o.id, line: 2 })?;
    if o.amount == 0 {
        return Err(RuleError::new("an order of nothing"));
    }
    cx.emit(Ship { order: o.id })?;
    Ok(())
}

#[rule]
fn strict(#[when(o.amount >= 0)] o: &Order, cx: &mut Then) -> RuleResult {
    serve(o, cx)
}

#[rule(on_error = "skip")]
fn lenient(#[when(o.amount >= 0)] o: &Order, cx: &mut Then) -> RuleResult {
    serve(o, cx)
}

ruleset!(serving = 1: strict);
ruleset!(skipping = 1: lenient);

fn order(session: &mut Session, id: u64, amount: i64) -> Handle<Order> {
    session.insert(Order { id, amount }).unwrap()
}

/// Keys and effects as a consumer sees them.
fn mails(session: &mut Session) -> Vec<(EffectKey, Mail)> {
    let deliveries = session.effects::<Mail>().unwrap().into_iter();
    deliveries.map(|delivery| (delivery.key, delivery.into_inner())).collect()
}

#[test]
fn effects_are_delivered_in_order_under_the_same_keys_until_they_are_acknowledged() {
    let disk = Disk::new();
    let mut session = disk.open(serving());
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    order(&mut session, 2, 5);
    session.fire_all().unwrap();
    let first = mails(&mut session);
    let expected = [(1, 1), (1, 2), (2, 1), (2, 2)];
    assert_eq!(first.iter().map(|(_, mail)| (mail.order, mail.line)).collect::<Vec<_>>(), expected);
    assert_eq!(mails(&mut session), first, "nobody has acknowledged");
    assert!(first.is_sorted_by_key(|(key, _)| (key.commit, key.ordinal)));

    // After a crash, and after a close in order, the same again.
    let mut session = disk.crash().open(serving());
    assert_eq!(mails(&mut session), first);
    drop(session);

    // In any order; the others keep theirs. Types have nothing to do with each other.
    let disk = disk.crash();
    let mut session = disk.open(serving());
    session.acknowledge(first[2].0).unwrap();
    session.acknowledge(first[0].0).unwrap();
    let mut rest = first;
    rest.remove(2);
    rest.remove(0);
    assert_eq!(mails(&mut session), rest);
    assert_eq!(session.effects::<Ship>().unwrap().len(), 2);
    assert_eq!(session.effect_count(), 4);
    let mut session = disk.crash().open(serving());
    assert_eq!(mails(&mut session), rest);
}

#[test]
fn an_acknowledged_effect_is_never_delivered_again_nor_acknowledged_twice() {
    let disk = Disk::new();
    let mut session = disk.open(serving());
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    let (key, _) = mails(&mut session).remove(0);
    session.acknowledge(key).unwrap();
    for mut session in [session, disk.crash().open(serving())] {
        assert_eq!(mails(&mut session).len(), 1);
        let error = session.acknowledge(key).unwrap_err();
        assert!(matches!(error, Error::UnknownEffect { .. }), "{error:?}");
        assert_eq!(session.effect_count(), 2);
    }
}

#[test]
fn acknowledging_is_no_change_of_the_session() {
    let disk = Disk::new();
    let mut session = disk.open(serving());
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    let (digest, commit) = (session.digest(), session.last_commit());
    for (key, _) in mails(&mut session) {
        session.acknowledge(key).unwrap();
    }
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    let session = disk.crash().open(serving());
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
}

#[test]
fn a_consequence_that_fails_sends_nothing_and_leaves_no_gap_in_the_keys() {
    let mut session = memory(serving());
    order(&mut session, 1, 5);
    order(&mut session, 2, 0);
    session.fire_all().unwrap_err();
    let orders: Vec<u64> = mails(&mut session).iter().map(|(_, mail)| mail.order).collect();
    assert_eq!(orders, [1, 1]);

    let mut session = memory(skipping());
    for (id, amount) in [(1, 5), (2, 0), (3, 5)] {
        order(&mut session, id, amount);
    }
    assert_eq!(session.fire_all().unwrap().skipped, 1);
    let sent = mails(&mut session);
    assert_eq!(sent.iter().map(|(_, mail)| mail.order).collect::<Vec<_>>(), [1, 1, 3, 3]);
    // Three effects of each order in one commit: two mails and a shipment.
    assert_eq!(sent.iter().map(|(key, _)| key.ordinal).collect::<Vec<_>>(), [0, 1, 3, 4]);
}

#[test]
fn a_transaction_sends_with_its_commit_or_not_at_all() {
    let mut session = memory(serving());
    let given_up = session.transact::<()>(|stage| {
        stage.emit(Mail { order: 1, line: 1 })?;
        Err(Error::give_up("no"))
    });
    given_up.unwrap_err();
    assert_eq!(session.effect_count(), 0);
    let commit = session.last_commit();
    session.transact(|stage| Ok(stage.emit(Mail { order: 1, line: 2 })?)).unwrap();
    let (key, mail) = mails(&mut session).remove(0);
    assert_eq!((mail.line, key.ordinal), (2, 0));
    assert_eq!(key.commit.get(), commit.get() + 1, "an effect alone is a commit, too");
}

/// INV-79: nothing leaves before that.
#[test]
fn effects_of_a_pipelined_session_wait_for_their_commit() {
    let disk = Disk::real();
    let mut session = Session::durable(disk.path()).pipelined(true).open(serving()).unwrap();
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    // Delivered, so durable: also what a crash right now leaves has them.
    let delivered = mails(&mut session);
    assert_eq!(delivered.len(), 2);
    assert_eq!(mails(&mut disk.crash().open(serving())), delivered);
}

#[test]
fn a_fork_neither_has_nor_sends_the_effects_of_its_original() {
    let mut session = memory(serving());
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    let mut fork = session.fork();
    assert_eq!(fork.effect_count(), 0);
    order(&mut fork, 2, 5);
    fork.fire_all().unwrap();
    assert_eq!((fork.effect_count(), session.effect_count()), (3, 3));
}

#[test]
fn an_effect_of_another_version_is_an_error_where_it_is_read() {
    #[derive(Effect, Debug, Serialize, Deserialize)]
    #[effect(topic = "ship", version = 2)]
    struct ShipTo {
        address: String,
    }
    let mut session = memory(serving());
    order(&mut session, 1, 5);
    session.fire_all().unwrap();
    assert_eq!(session.effects::<ShipTo>().map(drop).unwrap_err().code(), "SF0004");
    assert_eq!(session.effects::<Ship>().unwrap()[0].order, 1);
}

/// INV-79: the key is stable.
#[test]
fn killed_between_delivery_and_acknowledgement_an_effect_is_delivered_again_under_its_key() {
    const NAME: &str = "effects::killed_between_delivery_and_acknowledgement_an_effect_is_delivered_again_under_its_key";
    if let Some((dir, task)) = task() {
        let mut session = durable(&dir).open(serving()).unwrap();
        if task == "first" {
            order(&mut session, 1, 5);
            session.fire_all().unwrap();
        }
        for (key, mail) in mails(&mut session) {
            tell(format!("{key} {}", mail.line));
            if task == "last" {
                session.acknowledge(key).unwrap();
            }
        }
        tell("done");
        wait_for_the_end();
    }
    let disk = Disk::new();
    let mut delivered = Vec::new();
    for task in ["first", "second", "last", "after"] {
        let mut child = Child::start(NAME, &disk.path(), task);
        let mut lines = Vec::new();
        while let Some(line) = child.hear().filter(|line| line != "done") {
            lines.push(line);
        }
        child.kill();
        delivered.push(lines);
    }
    assert_eq!(delivered[0].len(), 2);
    assert_eq!((&delivered[1], &delivered[2]), (&delivered[0], &delivered[0]));
    assert!(delivered[3].is_empty(), "acknowledged before the kill");
}

#[test]
fn killed_in_the_consequence_that_emitted_it_an_effect_was_never_sent() {
    #[rule]
    fn slow(o: &Order, cx: &mut Then) -> RuleResult {
        serve(o, cx)?;
        if task().is_some() {
            tell("emitted");
            wait_for_the_end();
        }
        Ok(())
    }
    const NAME: &str =
        "effects::killed_in_the_consequence_that_emitted_it_an_effect_was_never_sent";
    ruleset!(slowness = 1: slow);
    if let Some((dir, _)) = task() {
        let mut session = durable(&dir).open(slowness()).unwrap();
        order(&mut session, 1, 5);
        session.fire_all().unwrap();
    }
    let disk = Disk::new();
    let mut child = Child::start(NAME, &disk.path(), "");
    assert_eq!(child.hear().as_deref(), Some("emitted"));
    child.kill();
    let mut session = disk.open(slowness());
    assert_eq!(session.effect_count(), 0);
    session.fire_all().unwrap();
    assert_eq!(session.effect_count(), 3);
}

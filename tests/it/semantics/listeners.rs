//! S101 and S102: listeners.

use std::sync::{Arc, Mutex};

use steadfast::ir::Rule;
use steadfast::prelude::*;
use steadfast::{Event, RuleError, Ruleset};

use crate::support::{Disk, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    open: bool,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold {
    order: u64,
}

#[rule(logical)]
fn hold(#[when(o.open)] o: &Order) -> Hold {
    Hold { order: o.id }
}

#[rule]
fn close(h: &Hold, #[when(o.id == h.order)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.modify(o, |o| o.open = false)?;
    cx.insert(Order { id: 100 + o.id, open: false })?;
    Ok(())
}

ruleset!(shop = 1: hold, close);

type Heard = Arc<Mutex<Vec<String>>>;

fn short(event: &Event<'_>) -> String {
    let name = |rule: &str| rule.rsplit("::").next().unwrap_or(rule).to_owned();
    match event {
        Event::Inserted { fact, value, stated, .. } => {
            format!("insert {fact} {} {stated}", value.kind().unwrap())
        }
        Event::Updated { fact, value, by, .. } => {
            let order = value.read::<Order>().unwrap().unwrap();
            format!("update {fact} open {} by {}", order.open, name(by.unwrap_or("nobody")))
        }
        Event::Deleted { fact, cascade, .. } => format!("delete {fact} {cascade}"),
        Event::Supported { fact, by } => format!("support {fact} {}", name(by.rule)),
        Event::Firing(of) => format!("firing {}", name(of.rule)),
        Event::Fired(of) => format!("fired {}", name(of.rule)),
        Event::Created { of, .. } => format!("created {}", name(of.rule)),
        Event::Cancelled(of) => format!("cancelled {}", name(of.rule)),
        Event::Suppressed { of, by, .. } => format!("suppressed {} {by:?}", name(of.rule)),
        Event::GroupPushed { group } => format!("pushed {group}"),
        Event::GroupPopped { group } => format!("popped {group}"),
        Event::Committed { commit, .. } => format!("commit {commit}"),
        other => format!("{other:?}"),
    }
}

fn listen(session: &mut Session) -> Heard {
    let heard = Heard::default();
    let into = Arc::clone(&heard);
    session.listen(move |event| into.lock().unwrap().push(short(event)));
    heard
}

fn heard(of: &Heard) -> Vec<String> {
    std::mem::take(&mut of.lock().unwrap())
}

#[test]
fn s102_events_come_in_the_order_of_what_happened() {
    let mut session = memory(shop());
    let events = listen(&mut session);
    session.insert(Order { id: 1, open: true }).unwrap();
    assert_eq!(heard(&events), ["insert f#1 Order true", "commit c#1"]);
    session.flush().unwrap();
    assert_eq!(heard(&events), ["created hold", "commit c#2"]);
    session.fire_all().unwrap();
    assert_eq!(
        heard(&events),
        [
            "firing hold",
            "insert f#2 Hold false",
            "support f#2 hold",
            "fired hold",
            "created close",
            "firing close",
            "update f#1 open false by close",
            "insert f#3 Order true",
            "fired close",
            // The update ended the match that the hold stood on.
            "delete f#2 true",
            "commit c#3",
        ]
    );
}

#[test]
fn s101_listeners_hear_commits_in_order_and_nothing_that_was_not_committed() {
    let mut session = memory(shop());
    let events = listen(&mut session);
    session
        .transact(|stage| {
            stage.insert(Order { id: 1, open: false })?;
            Err::<(), _>(steadfast::Error::give_up("no"))
        })
        .unwrap_err();
    assert!(heard(&events).is_empty());
    let both = Heard::default();
    for name in ["first", "second"] {
        let into = Arc::clone(&both);
        session.listen(move |event| {
            if let Event::Committed { .. } = event {
                into.lock().unwrap().push(name.to_owned());
            }
        });
    }
    session.insert(Order { id: 1, open: false }).unwrap();
    assert_eq!(heard(&both), ["first", "second"]);
    let third = session.listen(|_| say("heard"));
    assert!(session.end_listener(third) && !session.end_listener(third));
    session.insert(Order { id: 2, open: false }).unwrap();
    assert!(said().is_empty());
}

#[test]
fn s101_a_session_on_disk_tells_the_same_and_replays_nothing() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    let events = listen(&mut session);
    let mut other = memory(shop());
    let others = listen(&mut other);
    for session in [&mut session, &mut other] {
        session.insert(Order { id: 1, open: true }).unwrap();
        session.fire_all().unwrap();
    }
    let without_commits = |events: &Heard| {
        heard(events).into_iter().filter(|it| !it.starts_with("commit")).collect::<Vec<_>>()
    };
    assert_eq!(without_commits(&events), without_commits(&others));
    drop(session);
    let mut session = disk.open(shop());
    let events = listen(&mut session);
    session.flush().unwrap();
    assert!(heard(&events).is_empty());
    let digest = session.digest();
    assert_eq!(digest, disk.crash().open(shop()).digest(), "listening leaves no trace");
}

#[test]
fn s102_facts_that_come_together_are_told_one_by_one() {
    let mut session = memory(shop());
    let events = listen(&mut session);
    let insert_many = |session: &mut Session| {
        session.transact(|tx| {
            (0..40).try_for_each(|id| tx.insert(Order { id, open: false }).map(drop))?;
            Ok(())
        })
    };
    insert_many(&mut session).unwrap();
    let inserted = (1..=40).map(|fact| format!("insert f#{fact} Order true"));
    assert_eq!(heard(&events), inserted.chain(["commit c#1".to_owned()]).collect::<Vec<_>>());
}

#[rule(salience = 1)]
fn bill(_o: &Order, cx: &mut Then) -> RuleResult {
    cx.focus("billing")?;
    Ok(())
}

#[rule(group = "billing", lock_on_active)]
fn invoice(#[when(o.open)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.modify(o, |o| o.id += 1)?;
    cx.insert(Order { id: 50, open: true })?;
    Ok(())
}

ruleset!(billing = 1: bill, invoice);

#[test]
fn s102_groups_are_pushed_and_popped_behind_the_matches_of_the_evaluation() {
    let mut session = memory(billing());
    let events = listen(&mut session);
    session.insert(Order { id: 1, open: true }).unwrap();
    session.fire(2).unwrap();
    assert_eq!(
        heard(&events),
        [
            "insert f#1 Order true",
            "commit c#1",
            "created bill",
            "created invoice",
            "firing bill",
            "pushed billing",
            "fired bill",
            "firing invoice",
            "update f#1 open true by invoice",
            "insert f#2 Order true",
            "fired invoice",
            // The other order is new to both rules; but the group of `invoice` is active.
            "created bill",
            "suppressed invoice LockOnActive",
            "popped billing",
            "commit c#2",
        ]
    );
}

#[rule(no_loop)]
fn count_up(#[watch(id)] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.modify(o, |o| o.id += 1)?;
    Ok(())
}

#[rule(activation_group = "one")]
fn first(_o: &Order) {}

#[rule(activation_group = "one")]
fn second(_o: &Order) {}

#[rule]
fn fails(#[when(o.id > 0)] o: &Order, cx: &mut Then) -> RuleResult {
    cx.insert(Hold { order: 1 })?;
    Err(RuleError::new("no"))
}

#[test]
fn s43_what_is_kept_dormant_or_cancelled_is_told_as_such() {
    let heard_of = |rules: Ruleset| {
        let mut session = memory(rules);
        let events = listen(&mut session);
        session.insert(Order { id: 1, open: true }).unwrap();
        drop(session.fire_all());
        heard(&events).split_off(2)
    };
    let one = |rule: steadfast::ir::RuleDef| Ruleset::new("one", 1).rule(rule);
    assert_eq!(
        heard_of(one(count_up::definition())),
        [
            "created count_up",
            "firing count_up",
            "update f#1 open true by count_up",
            "fired count_up",
            "suppressed count_up NoLoop",
            "commit c#2",
        ]
    );
    assert_eq!(
        heard_of(one(first::definition()).rule(second::definition())),
        [
            "created first",
            "created second",
            "firing first",
            "fired first",
            "cancelled second",
            "commit c#2"
        ]
    );
    // A consequence that fails has no events.
    assert_eq!(heard_of(one(fails::definition())), ["created fails", "commit c#2"]);
}

#[test]
fn s43_a_match_that_ends_or_is_used_up_is_cancelled_once() {
    let mut session = memory(shop());
    let events = listen(&mut session);
    let order = session.insert(Order { id: 1, open: true }).unwrap();
    session.flush().unwrap();
    session.update(order, |o| o.open = false).unwrap();
    session.flush().unwrap();
    session.update(order, |o| o.open = true).unwrap();
    session.fire_filtered(None, |_| steadfast::Verdict::Consume).unwrap();
    let agenda = heard(&events);
    let agenda = agenda.iter().filter(|it| it.contains("hold"));
    let expected = ["created hold", "cancelled hold", "created hold", "cancelled hold"];
    assert_eq!(agenda.collect::<Vec<_>>(), expected);
    // What comes and goes within one evaluation was never there (S10).
    let passing = session.insert(Order { id: 2, open: true }).unwrap();
    session.delete(passing).unwrap();
    session.flush().unwrap();
    assert!(!heard(&events).iter().any(|it| it.contains("hold")));
}

#[query]
fn open(#[when(o.open)] o: &Order, #[not(h.order == o.id)] h: Absent<Hold>) -> u64 {
    o.id
}

ruleset!(watched = 1: ; queries: open; facts: Hold);

/// What changed, as the rows added, updated and removed in each evaluation.
fn changes(
    session: &mut Session,
    live: &steadfast::Live<open>,
) -> Vec<(Vec<u64>, Vec<u64>, usize)> {
    let rows = |rows: &[(steadfast::RowId, u64)]| rows.iter().map(|(_, row)| *row).collect();
    let changes = session.changes(live).unwrap();
    changes.iter().map(|it| (rows(&it.added), rows(&it.updated), it.removed.len())).collect()
}

#[test]
fn s100_a_live_query_tells_once_for_each_evaluation_what_changed() {
    let mut session = memory(watched());
    session.insert(Order { id: 1, open: true }).unwrap();
    let live = session.live::<open>().unwrap();
    assert!(changes(&mut session, &live).is_empty(), "what was there before is no change");
    let two = session.insert(Order { id: 2, open: true }).unwrap();
    session.insert(Order { id: 3, open: true }).unwrap();
    assert_eq!(changes(&mut session, &live), [(vec![2, 3], vec![], 0)]);
    let ghost = session.insert(Order { id: 4, open: true }).unwrap();
    session.delete(ghost).unwrap();
    session.update(two, |o| o.open = false).unwrap();
    session.update(two, |o| o.open = true).unwrap();
    assert_eq!(changes(&mut session, &live), [(vec![], vec![2], 0)], "net changes only");
    let hold = session.insert(Hold { order: 3 }).unwrap();
    session.flush().unwrap();
    session.delete(hold).unwrap();
    let gone_and_back = [(vec![], vec![], 1), (vec![3], vec![], 0)];
    assert_eq!(changes(&mut session, &live), gone_and_back, "one entry for each evaluation");
    let removed = session.delete(two).unwrap();
    assert!(removed);
    assert_eq!(changes(&mut session, &live), [(vec![], vec![], 1)]);
    session.end_live(live);
}

#[test]
fn s100_subscribers_read_apart_and_leave_no_trace() {
    let mut session = memory(watched());
    let first = session.live::<open>().unwrap();
    let second = session.live::<open>().unwrap();
    session.insert(Order { id: 1, open: true }).unwrap();
    assert_eq!(changes(&mut session, &first).len(), 1);
    assert!(changes(&mut session, &first).is_empty());
    assert_eq!(changes(&mut session, &second).len(), 1);
    let mut other = memory(watched());
    other.flush().unwrap();
    other.insert(Order { id: 1, open: true }).unwrap();
    other.flush().unwrap();
    assert_eq!(session.pending(), other.pending());
    let mut fork = session.fork();
    assert!(changes(&mut fork, &first).is_empty(), "a fork has no subscriptions");
    assert_eq!(fork.digest(), session.digest());
}

#[query]
fn lately(
    #[window(time = "10s")]
    #[group_by(o.open)]
    #[aggregate(count())]
    g: Group<Order, bool, (u64,)>,
) -> u64 {
    g.0
}

ruleset!(recent = 1: ; queries: lately);

#[test]
fn s100_what_leaves_a_window_with_time_is_told_and_what_a_query_sees_counts_no_operation() {
    let mut session = memory(recent());
    let live = session.live::<lately>().unwrap();
    let told = |session: &mut Session| {
        let changes = session.changes(&live).unwrap();
        let rows = |rows: &[(steadfast::RowId, u64)]| rows.iter().map(|it| it.1).collect();
        let told = |it: &steadfast::RowChanges<u64>| -> (Vec<u64>, Vec<u64>, usize) {
            (rows(&it.added), rows(&it.updated), it.removed.len())
        };
        changes.iter().map(told).collect::<Vec<_>>()
    };
    session.insert(Order { id: 1, open: true }).unwrap();
    assert_eq!(told(&mut session), [(vec![1], vec![], 0)]);
    session.advance_clock(4_000).unwrap();
    session.insert(Order { id: 2, open: true }).unwrap();
    assert_eq!(told(&mut session), [(vec![], vec![2], 0)]);
    // Both moments in one step are two evaluations.
    session.advance_clock(20_000).unwrap();
    assert_eq!(told(&mut session), [(vec![], vec![1], 0), (vec![], vec![], 1)]);
    let mut other = memory(Ruleset::new("recent", 1).fact::<Order>());
    for (clock, id) in [(0, 1), (4_000, 2)] {
        other.advance_clock(clock).unwrap();
        other.insert(Order { id, open: true }).unwrap();
        other.flush().unwrap();
    }
    other.advance_clock(20_000).unwrap();
    assert_eq!(session.digest(), other.digest());
}

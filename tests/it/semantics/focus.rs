//! S44, S45, S47 to S52: agenda groups, activation groups and filters.

use steadfast::prelude::*;
use steadfast::{ChangeError, Error, FireError, Verdict};

use crate::support::{Disk, fire, memory, pending, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Note {
    job: u64,
}

fn jobs(session: &mut Session, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        session.insert(Job { id }).unwrap();
    }
}

#[rule]
fn plain(j: &Job) {
    say(format!("plain {}", j.id));
}

#[rule(group = "a")]
fn in_a(j: &Job) {
    say(format!("a {}", j.id));
}

#[rule(group = "a", lock_on_active)]
fn locked_in_a(j: &Job) {
    say(format!("locked {}", j.id));
}

#[rule(group = "b", salience = 100)]
fn in_b(j: &Job) {
    say(format!("b {}", j.id));
}

ruleset!(groups = 1: plain, in_a, locked_in_a, in_b);

#[rule(salience = 200)]
fn clear(#[when(j.id == 5)] j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("clear by {}", j.id));
    cx.insert(Job { id: 6 })?;
    cx.clear_group("MAIN")?;
    Ok(())
}
ruleset!(clearing = 1: clear, plain);

#[test]
fn s44_clearing_a_group_cancels_what_is_pending_and_locks_out_what_is_older() {
    let mut session = memory(groups());
    jobs(&mut session, [1]);
    session.flush().unwrap();
    session.clear_group("a").unwrap();
    assert_eq!(session.pending().len(), 2, "plain and b");
    // Staged and not evaluated: older than the clearing, but not yet pending.
    jobs(&mut session, [2]);
    session.clear_group("a").unwrap();
    session.focus("a").unwrap();
    assert_eq!(fire(&mut session), ["a 2", "plain 1", "plain 2"]);
    jobs(&mut session, [3]);
    session.focus("a").unwrap();
    assert_eq!(fire(&mut session), ["a 3", "locked 3", "plain 3"]);
    let mut session = memory(clearing());
    jobs(&mut session, [4, 5]);
    assert_eq!(fire(&mut session), ["clear by 5", "plain 6"]);
}

#[test]
fn s45_a_filter_says_of_each_match_whether_it_fires_is_kept_or_used_up() {
    let disk = Disk::new();
    ruleset!(one = 1: plain; facts: Note);
    let mut session = disk.open(one());
    jobs(&mut session, 1..=6);
    let filter = |activation: &steadfast::Activation<'_>| {
        assert_eq!((activation.group, activation.salience), ("MAIN", 0));
        assert!(activation.rule.ends_with("::plain"), "{activation:?}");
        match activation.row.fact::<Job>(0).id % 3 {
            0 => Verdict::Consume,
            1 => Verdict::Keep,
            _ => Verdict::Fire,
        }
    };
    // What is kept or used up does not count for the limit.
    let fired = session.fire_filtered(Some(1), filter).unwrap();
    assert_eq!((fired.count, said()), (1, vec!["plain 2".to_owned()]));
    assert_eq!(session.fire_filtered(None, filter).unwrap().count, 1);
    assert_eq!(said(), ["plain 5"]);
    let digest = session.digest();
    drop(session);
    let mut session = disk.open(one());
    assert_eq!(session.digest(), digest);
    // Kept is not used up, used up is.
    assert_eq!(fire(&mut session), ["plain 1", "plain 4"]);

    // How the run is cut into commits makes no difference to what is kept.
    jobs(&mut session, 7..=9);
    session.commit_every(1);
    let mut asked = Vec::new();
    let fired = session.fire_filtered(None, |activation| {
        let id = activation.row.fact::<Job>(0).id;
        asked.push(id);
        if id == 7 { Verdict::Keep } else { Verdict::Fire }
    });
    assert_eq!((fired.unwrap().count, asked), (2, vec![7, 8, 9]));
    said();

    let error = session.fire_filtered(None, |_| panic!("the consequence's own")).unwrap_err();
    let Error::Fire(FireError::Undecided { message, .. }) = error else { panic!("{error:?}") };
    assert_eq!(message, "the filter panicked: the consequence's own");
    assert_eq!(fire(&mut session), ["plain 7"]);
}

#[rule(activation_group = "decision", salience = 1)]
fn accept(#[when(j.id % 2 == 0)] j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("accept {}", j.id));
    if j.id == 4 {
        cx.insert(Job { id: 5 })?;
    }
    Ok(())
}

#[rule(activation_group = "decision")]
fn refuse(j: &Job) {
    say(format!("refuse {}", j.id));
}

#[rule(group = "later", activation_group = "decision")]
fn postpone(j: &Job) {
    say(format!("postpone {}", j.id));
}

#[rule(on_error = "skip", activation_group = "decision", salience = 9)]
fn try_first(#[when(j.id == 7)] j: &Job) -> RuleResult {
    say("try");
    Err(RuleError::new("no"))
}

ruleset!(decision = 1: accept, refuse, postpone, try_first, plain);

#[test]
fn s47_one_match_of_an_activation_group_fires_and_cancels_the_others() {
    let mut session = memory(decision());
    jobs(&mut session, [1, 2]);
    assert_eq!(fire(&mut session), ["accept 2", "plain 1", "plain 2"]);
    session.focus("later").unwrap();
    assert!(fire(&mut session).is_empty(), "cancelled in its own agenda group");
    // What comes afterwards is another decision; also what the winner itself brings.
    jobs(&mut session, [4]);
    assert_eq!(fire(&mut session), ["accept 4", "refuse 5", "plain 4", "plain 5"]);
    // A consequence that fails wins nothing.
    jobs(&mut session, [7]);
    assert_eq!(fire(&mut session), ["try", "refuse 7", "plain 7"]);
}

#[test]
fn s48_the_winners_own_other_matches_are_cancelled_too() {
    let mut session = memory(decision());
    jobs(&mut session, [2, 6, 8]);
    assert_eq!(fire(&mut session), ["accept 2", "plain 2", "plain 6", "plain 8"]);
    assert!(pending(&mut session).is_empty());
}

#[test]
fn s49_the_focus_is_a_stack_and_main_is_always_at_its_bottom() {
    let mut session = memory(groups());
    jobs(&mut session, [1]);
    assert_eq!(fire(&mut session), ["plain 1"]);
    assert_eq!(session.pending().len(), 3, "without focus nothing fires");
    for group in ["a", "a", "b", "a"] {
        session.focus(group).unwrap();
    }
    assert_eq!(session.focus_stack(), ["MAIN", "a", "b", "a"]);
    assert_eq!(fire(&mut session), ["a 1", "locked 1", "b 1"]);
    assert_eq!(session.focus_stack(), ["MAIN"]);
    // A group without matches has the focus until somebody looks for something to fire.
    session.focus("b").unwrap();
    assert_eq!(session.focus_stack(), ["MAIN", "b"]);
    let commit = session.fire_all().unwrap().commit;
    assert!(commit.is_some(), "the focus changed");
    assert_eq!(session.focus_stack(), ["MAIN"]);
    assert_eq!(session.fire_all().unwrap().commit, None);
    session.focus("MAIN").unwrap();
    assert_eq!(session.focus_stack(), ["MAIN"], "it has the focus already");
    let commit = session.last_commit();
    let error = session.focus("c").unwrap_err();
    assert!(matches!(error, Error::Change(ChangeError::UnknownGroup { .. })), "{error:?}");
    assert_eq!((session.focus_stack(), session.last_commit()), (vec!["MAIN"], commit));
}

#[test]
fn s50_a_group_that_gives_the_focus_away_is_not_active_meanwhile() {
    #[rule(group = "a", lock_on_active)]
    fn first(j: &Job, cx: &mut Then) -> RuleResult {
        say(format!("first {}", j.id));
        if j.id == 1 {
            cx.focus("b")?;
        }
        Ok(())
    }
    #[rule(group = "b")]
    fn more(#[when(j.id < 3)] j: &Job, cx: &mut Then) -> RuleResult {
        say(format!("more {}", j.id));
        cx.insert(Job { id: j.id + 10 })?;
        Ok(())
    }
    #[rule(group = "a", salience = -1)]
    fn last(#[when(j.id == 1)] j: &Job, cx: &mut Then) -> RuleResult {
        say("last");
        cx.insert(Job { id: j.id + 20 })?;
        Ok(())
    }
    ruleset!(giving = 1: first, more, last);
    let mut session = memory(giving());
    jobs(&mut session, [1, 2]);
    session.focus("a").unwrap();
    // What `b` inserts triggers `first`, for `a` was not active. What `last` inserts does not: `a` is active again.
    let expected = ["first 1", "more 1", "more 2", "first 2", "first 11", "first 12", "last"];
    assert_eq!(fire(&mut session), expected);
}

#[test]
fn s51_auto_focus_gives_a_group_the_focus_when_a_match_becomes_pending() {
    #[rule]
    fn a(j: &Job, cx: &mut Then) -> RuleResult {
        say("A");
        cx.insert(Note { job: j.id })?;
        Ok(())
    }
    #[rule]
    fn b(j: &Job) {
        let _ = j;
        say("B");
    }
    #[rule(group = "c", auto_focus)]
    fn c(n: &Note) {
        say(format!("C {}", n.job));
    }
    ruleset!(firing_order = 1: a, b, c);
    let mut session = memory(firing_order());
    jobs(&mut session, [1]);
    assert_eq!(fire(&mut session), ["A", "C 1", "B"]);
    // Also when it becomes pending again, and without any run.
    let note = session.query::<Note>().unwrap()[0].handle();
    session.touch(note).unwrap();
    assert_eq!(session.focus_stack(), ["MAIN"]);
    session.flush().unwrap();
    assert_eq!(session.focus_stack(), ["MAIN", "c"]);
    assert_eq!(fire(&mut session), ["C 1"]);
}

#[test]
fn s51_of_several_groups_that_get_the_focus_at_once_that_of_the_last_rule_has_it() {
    #[rule(group = "a", auto_focus, salience = 9)]
    fn first(j: &Job) {
        say(format!("a {}", j.id));
    }
    #[rule(group = "b", auto_focus)]
    fn second(j: &Job) {
        say(format!("b {}", j.id));
    }
    ruleset!(both = 1: first, second, plain);
    let mut session = memory(both());
    jobs(&mut session, [1, 2]);
    assert_eq!(fire(&mut session), ["b 1", "b 2", "a 1", "a 2", "plain 1", "plain 2"]);
}

#[test]
fn s52_a_group_gives_way_in_the_middle_and_goes_on_afterwards() {
    #[rule(group = "a", salience = 3)]
    fn r1(_j: &Job) {
        say("1");
    }
    #[rule(group = "a", salience = 2)]
    fn r2(_j: &Job, cx: &mut Then) -> RuleResult {
        say("2");
        cx.focus("b")?;
        Ok(())
    }
    #[rule(group = "a", salience = 1)]
    fn r3(_j: &Job) {
        say("3");
    }
    #[rule(group = "b")]
    fn r4(_j: &Job) {
        say("4");
    }
    ruleset!(give_way = 1: r1, r2, r3, r4);
    let mut session = memory(give_way());
    jobs(&mut session, [1, 2]);
    session.focus("a").unwrap();
    assert_eq!(fire(&mut session), ["1", "1", "2", "4", "4", "2", "3", "3"]);
}

#[test]
fn pending_matches_are_listed_by_the_turn_of_their_groups() {
    let mut session = memory(groups());
    jobs(&mut session, [1]);
    session.flush().unwrap();
    let rules = |session: &Session| {
        let pending = session.pending().into_iter();
        pending.map(|pending| pending.id.rule.get()).collect::<Vec<_>>()
    };
    assert_eq!(rules(&session), [0, 1, 2, 3]);
    session.focus("a").unwrap();
    session.focus("b").unwrap();
    assert_eq!(rules(&session), [3, 1, 2, 0]);
}

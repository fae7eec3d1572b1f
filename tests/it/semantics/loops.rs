//! S37 to S43, S46, S89 and S53: what keeps matches from the agenda, and runs from having no end.

use steadfast::prelude::*;
use steadfast::{Error, FireError};

use crate::support::{Disk, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Account {
    id: u64,
    balance: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Rate {
    percent: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Rich {
    account: u64,
}

fn account(id: u64, balance: i64) -> Account {
    Account { id, balance }
}

fn balance(session: &mut Session) -> i64 {
    session.query::<Account>().unwrap()[0].balance
}

/// Reads the balance, so that its own update concerns it.
#[rule(no_loop)]
fn interest(
    #[when(a.balance > 0)] a: Ref<Account>,
    #[cross] r: &Rate,
    cx: &mut Then,
) -> RuleResult {
    let percent = r.percent;
    say(format!("interest on {}", a.balance));
    cx.modify(a, |a| a.balance += a.balance * percent / 100)
}

#[rule(no_loop)]
fn spread(a: &Account, cx: &mut Then) -> RuleResult {
    say(format!("spread {}", a.id));
    cx.insert(account(a.id + 1, 0))?;
    Ok(())
}
ruleset!(spreading = 1: spread);

#[rule(no_loop)]
fn fix_rate(a: &Account, #[cross] r: Ref<Rate>, cx: &mut Then) -> RuleResult {
    say(format!("fix {}", a.id));
    cx.touch(r)?;
    Ok(())
}

#[test]
fn s37_a_match_that_its_own_rule_triggers_is_dormant() {
    ruleset!(bank = 1: interest);
    let mut session = memory(bank());
    session.insert(Rate { percent: 10 }).unwrap();
    let one = session.insert(account(1, 100)).unwrap();
    assert_eq!(fire(&mut session), ["interest on 100"]);
    assert_eq!(balance(&mut session), 110);
    // What somebody else does triggers it again.
    session.update(one, |a| a.balance = 200).unwrap();
    assert_eq!(fire(&mut session), ["interest on 200"]);
    // One that is pending loses its turn (S13): the rate is a fact of both matches.
    ruleset!(fixing = 1: fix_rate);
    let mut session = memory(fixing());
    session.insert(Rate { percent: 10 }).unwrap();
    session.insert(account(1, 0)).unwrap();
    session.insert(account(2, 0)).unwrap();
    assert_eq!(fire(&mut session), ["fix 1"]);
    session.insert(account(3, 0)).unwrap();
    assert_eq!(fire(&mut session), ["fix 3"]);
    // Another match that its consequence creates is dormant, too.
    let mut session = memory(spreading());
    session.insert(account(1, 0)).unwrap();
    assert_eq!(fire(&mut session), ["spread 1"]);
    assert!(fire(&mut session).is_empty());
}

#[test]
fn s37_no_loop_is_about_the_rule_itself_not_about_a_circle_of_two() {
    #[rule(no_loop)]
    fn up(
        #[when(a.balance % 2 == 0 && a.balance < 5)] a: Ref<Account>,
        cx: &mut Then,
    ) -> RuleResult {
        say(format!("up {}", a.balance));
        cx.modify(a, |a| a.balance += 1)
    }
    #[rule(no_loop)]
    fn further(
        #[when(a.balance % 2 == 1 && a.balance < 5)] a: Ref<Account>,
        cx: &mut Then,
    ) -> RuleResult {
        say(format!("further {}", a.balance));
        cx.modify(a, |a| a.balance += 1)
    }
    ruleset!(two = 1: up, further);
    let mut session = memory(two());
    session.insert(account(1, 0)).unwrap();
    assert_eq!(fire(&mut session), ["up 0", "further 1", "up 2", "further 3", "up 4"]);
}

#[test]
fn s38_the_last_operation_on_the_match_decides_whose_trigger_it_is() {
    #[rule(salience = 1)]
    fn fee(#[when(a.balance > 100)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
        say("fee");
        cx.modify(a, |a| a.balance = 50)
    }
    ruleset!(fees = 1: interest, fee);
    let mut session = memory(fees());
    session.insert(Rate { percent: 10 }).unwrap();
    session.insert(account(1, 95)).unwrap();
    // `interest` triggers itself, which counts for nothing; then `fee` triggers it, and that counts. Its own
    // update of 50 to 55 is the last one.
    assert_eq!(fire(&mut session), ["interest on 95", "fee", "interest on 50"]);
    assert_eq!(balance(&mut session), 55);
}

#[test]
fn s39_a_rule_that_replaces_its_fact_comes_to_an_end() {
    #[rule(no_loop)]
    fn replace(a: Ref<Account>, cx: &mut Then) -> RuleResult {
        say(format!("replace {}", a.id));
        cx.delete(a)?;
        cx.insert(account(a.id + 1, 0))?;
        Ok(())
    }
    ruleset!(replacing = 1: replace);
    let mut session = memory(replacing());
    session.insert(account(1, 0)).unwrap();
    assert_eq!(fire(&mut session), ["replace 1"]);
    assert_eq!(session.query::<Account>().unwrap()[0].id, 2);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Bill {
    id: u64,
    amount: i64,
}

fn bill(id: u64) -> Bill {
    Bill { id, amount: 100 }
}

fn bills(session: &mut Session, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        session.insert(bill(id)).unwrap();
    }
}

#[rule(group = "billing", lock_on_active)]
fn discount(b: Ref<Bill>, cx: &mut Then) -> RuleResult {
    say(format!("discount {}", b.id));
    cx.touch(b)?;
    if b.id == 1 {
        cx.insert(bill(10))?;
    }
    Ok(())
}

#[rule(group = "billing", lock_on_active, salience = -1)]
fn round(b: Ref<Bill>) {
    say(format!("round {}", b.id));
}

#[rule(group = "billing", salience = -2)]
fn print(b: &Bill) {
    say(format!("print {}", b.id));
}

#[test]
fn s40_while_its_group_is_active_nothing_triggers_a_lock_on_active_rule() {
    ruleset!(billing = 1: discount, round, print);
    let mut session = memory(billing());
    session.insert(bill(1)).unwrap();
    session.focus("billing").unwrap();
    // Triggered before the group was active. What the consequence then does reaches `print` alone: the update of
    // bill 1 even takes away that `round` was pending for it (S13).
    assert_eq!(fire(&mut session), ["discount 1", "print 1", "print 10"]);
    // The group is not active any more.
    session.insert(bill(2)).unwrap();
    session.focus("billing").unwrap();
    assert_eq!(fire(&mut session), ["discount 2", "print 2"]);
    // What comes behind the focus comes too late.
    session
        .transact(|stage| {
            stage.focus("billing")?;
            stage.insert(bill(3))?;
            Ok(())
        })
        .unwrap();
    assert_eq!(fire(&mut session), ["print 3"]);
}

#[test]
fn s40_what_gave_the_group_the_focus_may_trigger_its_rules() {
    #[rule(group = "alarm", lock_on_active, auto_focus)]
    fn alarm(b: Ref<Bill>, cx: &mut Then) -> RuleResult {
        say(format!("alarm {}", b.id));
        cx.touch(b)?;
        Ok(())
    }
    ruleset!(alarms = 1: alarm);
    let mut session = memory(alarms());
    for id in 1..=2 {
        session.insert(bill(id)).unwrap();
        assert_eq!(fire(&mut session), [format!("alarm {id}")]);
    }
}

#[test]
fn s40_a_rule_that_is_added_to_a_group_that_is_active_fires_for_what_is_there() {
    use steadfast::ir::Rule;
    #[rule(group = "billing", lock_on_active, salience = -3)]
    fn archive(b: &Bill) {
        say(format!("archive {}", b.id));
    }
    ruleset!(billing = 1: round, print);
    let mut session = memory(billing());
    bills(&mut session, 1..=2);
    session.focus("billing").unwrap();
    session.fire(1).unwrap();
    assert_eq!(said(), ["round 1"]);
    session.add_rule(&archive::definition()).unwrap();
    // What comes afterwards is kept from it: the group is active.
    session.insert(bill(3)).unwrap();
    let expected = ["round 2", "print 1", "print 2", "print 3", "archive 1", "archive 2"];
    assert_eq!(fire(&mut session), expected);
}

#[rule(lock_on_active)]
fn greet(b: &Bill, cx: &mut Then) {
    say(format!("hello {}", b.id));
    if b.amount == 0 {
        cx.halt();
    }
}

ruleset!(greeting = 1: greet);

#[test]
fn s41_main_is_not_active_between_runs_that_leave_nothing() {
    let mut session = memory(greeting());
    bills(&mut session, 1..=3);
    assert_eq!(fire(&mut session), ["hello 1", "hello 2", "hello 3"]);
    bills(&mut session, 4..=6);
    assert_eq!(fire(&mut session), ["hello 4", "hello 5", "hello 6"]);
}

#[test]
fn s42_main_stays_active_behind_a_halt_that_leaves_something() {
    let mut session = memory(greeting());
    session.insert(bill(1)).unwrap();
    session.insert(Bill { id: 2, amount: 0 }).unwrap();
    session.insert(bill(3)).unwrap();
    assert!(session.fire_all().unwrap().halted);
    assert_eq!(said(), ["hello 1", "hello 2"]);
    bills(&mut session, 4..=6);
    assert_eq!(fire(&mut session), ["hello 3"]);
    // Now it has come to an end.
    session.insert(bill(7)).unwrap();
    assert_eq!(fire(&mut session), ["hello 7"]);
}

#[rule(enabled = 100 / a.balance > 3)]
fn divide(a: &Account) {
    say(format!("divide {}", a.id));
}
ruleset!(dividing = 1: divide);

#[test]
fn s46_enabled_is_asked_when_a_match_is_about_to_fire_and_uses_it_up() {
    #[rule(enabled = a.balance >= 100)]
    fn pay(#[watch(none)] a: &Account) {
        say(format!("pay {}", a.id));
    }
    #[rule(salience = 1)]
    fn refill(#[when(a.id == 2)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
        say("refill 2");
        cx.modify(a, |a| a.balance = 100)
    }
    ruleset!(paying = 1: pay, refill);
    let mut session = memory(paying());
    let one = session.insert(account(1, 50)).unwrap();
    session.insert(account(2, 50)).unwrap();
    session.insert(account(3, 500)).unwrap();
    let fired = session.fire_all().unwrap();
    assert_eq!((fired.count, fired.skipped), (3, 0));
    assert_eq!(said(), ["refill 2", "pay 2", "pay 3"]);
    // It was used up: that the answer would be another one now is no trigger.
    session.update(one, |a| a.balance = 500).unwrap();
    assert!(fire(&mut session).is_empty() && session.pending().is_empty());
    let mut session = memory(dividing());
    session.insert(account(1, 20)).unwrap();
    let zero = session.insert(account(2, 0)).unwrap();
    let error = session.fire_all().unwrap_err();
    assert_eq!(said(), ["divide 1"]);
    let Error::Fire(FireError::Undecided { rule, fired: 1, message, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(rule, "it::semantics::loops::divide");
    assert_eq!(message, "`enabled` panicked: attempt to divide by zero");
    assert_eq!(session.pending().len(), 1);
    session.delete(zero).unwrap();
    assert!(fire(&mut session).is_empty());
}

#[test]
fn s89_what_a_match_supports_stays_when_it_is_triggered_and_kept_from_firing() {
    #[rule(no_loop)]
    fn rich(#[when(a.balance > 0)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
        say(format!("rich {}", a.balance));
        cx.insert_logical(Rich { account: a.id })?;
        cx.modify(a, |a| a.balance += 1)
    }
    #[rule(lock_on_active, salience = -1)]
    fn still_rich(#[when(a.balance > 0)] a: &Account, cx: &mut Then) -> RuleResult {
        cx.insert_logical(Rich { account: a.id + 100 })?;
        Ok(())
    }
    #[rule(logical, enabled = a.balance < 100)]
    fn modest(#[when(a.balance > 0)] a: &Account) -> Rich {
        Rich { account: a.id }
    }
    #[rule(salience = -2)]
    fn raise(#[when(a.balance < 5)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
        say(format!("raise {}", a.balance));
        cx.modify(a, |a| a.balance = 9)
    }
    #[rule(salience = -3)]
    fn last(r: &Rate) {
        say(format!("last {}", r.percent));
    }
    ruleset!(riches = 1: rich, still_rich, raise, last; facts: Rich);
    let mut session = memory(riches());
    session.insert(Rate { percent: 1 }).unwrap();
    let one = session.insert(account(1, 1)).unwrap();
    // `still_rich` loses its turn to the update of `rich`, `rich` fires again for that of `raise`.
    assert_eq!(fire(&mut session), ["rich 1", "raise 2", "rich 9", "last 1"]);
    let riches = |session: &mut Session| {
        session.query::<Rich>().unwrap().iter().map(|rich| rich.account).collect::<Vec<_>>()
    };
    assert_eq!(riches(&mut session), [1]);
    session.update(one, |a| a.balance = 15).unwrap();
    assert_eq!(session.fire(1).unwrap().count, 1);
    assert_eq!(riches(&mut session), [1], "triggered by itself, and not withdrawn");
    // Used up by a filter it keeps what it supports, too.
    session.update(one, |a| a.balance = 20).unwrap();
    session.fire_filtered(None, |_| steadfast::Verdict::Consume).unwrap();
    assert_eq!(riches(&mut session), [1]);
    session.update(one, |a| a.balance = 0).unwrap();
    assert!(riches(&mut session).is_empty());
    said();

    ruleset!(modesty = 1: modest);
    let mut session = memory(modesty());
    let one = session.insert(account(1, 1)).unwrap();
    session.fire_all().unwrap();
    session.update(one, |a| a.balance = 100).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 0, "its rule says no");
    assert_eq!(riches(&mut session), [1]);
}

#[rule]
fn ping(#[when(a.balance % 2 == 0)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
    cx.modify(a, |a| a.balance += 1)
}

#[rule]
fn pong(#[when(a.balance % 2 == 1)] a: Ref<Account>, cx: &mut Then) -> RuleResult {
    cx.modify(a, |a| a.balance += 1)
}

ruleset!(table_tennis = 1: ping, pong);

#[test]
fn s53_a_run_that_goes_round_in_a_circle_stops_and_names_the_circle() {
    let disk = Disk::new();
    let mut session = disk.open(table_tennis());
    session.max_firings(100);
    session.commit_every(30);
    session.insert(account(1, 0)).unwrap();
    let error = session.fire_all().unwrap_err();
    assert_eq!(error.code(), "SF0020");
    let Error::Fire(FireError::SuspectedLoop { cycle, fired }) = error else { panic!("{error:?}") };
    assert_eq!(cycle, ["it::semantics::loops::pong", "it::semantics::loops::ping"]);
    // The first firing was not triggered by the run itself.
    assert_eq!((fired, balance(&mut session)), (101, 101));
    // What fired stands, and it can go on.
    let digest = session.digest();
    assert_eq!(disk.crash().open(table_tennis()).digest(), digest);
    assert_eq!(session.fire(7).unwrap().count, 7);
}

#[test]
fn s53_a_large_load_is_no_circle() {
    #[rule]
    fn look(_a: &Account) {}
    ruleset!(looking = 1: look);
    let mut session = memory(looking());
    session.max_firings(0);
    for id in 0..10 {
        session.insert(account(id, 0)).unwrap();
    }
    assert_eq!(session.fire_all().unwrap().count, 10);
}

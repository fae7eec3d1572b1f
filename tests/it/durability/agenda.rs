//! Agenda groups, activation groups, no-loop and lock-on-active, over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Claim {
    id: u64,
    amount: i64,
}

fn claim(id: u64, amount: i64) -> Claim {
    Claim { id, amount }
}

#[rule(activation_group = "decision", salience = 2)]
fn refuse(#[when(c.amount > 1000)] c: &Claim) {
    say(format!("refuse {}", c.id));
}

#[rule(activation_group = "decision", salience = 1)]
fn examine(#[when(c.amount > 100)] c: &Claim) {
    say(format!("examine {}", c.id));
}

#[rule(activation_group = "decision")]
fn pay(c: &Claim) {
    say(format!("pay {}", c.id));
}

ruleset!(claims = 1: refuse, examine, pay);

/// Scenario 27.
#[test]
fn the_siblings_of_a_match_that_won_its_activation_group_do_not_fire_after_a_restart() {
    survives(
        claims,
        &[
            step("claims", |w| w.insert("one", claim(1, 500)), []),
            step("evaluate", World::flush, []),
            step("fire", World::fire, ["examine 1"]),
            step("fire", World::fire, []),
            step("more", |w| w.update("one", |c: &mut Claim| c.amount = 2000), []),
            step("fire", World::fire, ["refuse 1"]),
            step("another", |w| w.insert("two", claim(2, 5)), []),
            step("fire", World::fire, ["pay 2"]),
        ],
    );
}

#[rule(group = "check", salience = 1)]
fn check(c: &Claim, cx: &mut Then) -> RuleResult {
    say(format!("check {}", c.id));
    if c.amount > 100 {
        cx.focus("audit")?;
    }
    Ok(())
}

#[rule(group = "check")]
fn file(c: &Claim) {
    say(format!("file {}", c.id));
}

#[rule(group = "audit")]
fn audit(#[when(c.amount > 100)] c: &Claim) {
    say(format!("audit {}", c.id));
}

#[rule(group = "alarm", auto_focus, enabled = c.amount < 20000)]
fn alarm(#[when(c.amount > 10000)] c: &Claim) {
    say(format!("alarm {}", c.id));
}

#[rule]
fn close(c: &Claim) {
    say(format!("close {}", c.id));
}

ruleset!(office = 1: check, file, audit, alarm, close);

/// Scenario 28.
#[test]
fn the_focus_stack_is_restored_and_groups_fire_in_the_same_order() {
    survives(
        office,
        &[
            step("a claim", |w| w.insert("one", claim(1, 500)), []),
            step("another", |w| w.insert("two", claim(2, 5)), []),
            step("a third", |w| w.insert("three", claim(3, 700)), []),
            step("focus", |w| w.session.focus("check").unwrap(), []),
            step("one firing", |w| w.fire_some(1), ["check 1"]),
            step("the audit interrupts", |w| w.fire_some(1), ["audit 1"]),
            step("an alarm", |w| w.insert("four", claim(4, 15000)), []),
            step("evaluate", World::flush, []),
            step(
                "the stack",
                |w| assert_eq!(w.session.focus_stack(), ["MAIN", "check", "audit", "alarm"]),
                [],
            ),
            step("the alarm", |w| w.fire_some(1), ["alarm 4"]),
            step("the audit goes on", |w| w.fire_some(2), ["audit 3", "audit 4"]),
            step("the check goes on", |w| w.fire_some(1), ["check 2"]),
            step("nobody is filed", |w| w.session.clear_group("check").unwrap(), []),
            step("fire", World::fire, ["close 1", "close 2", "close 3", "close 4"]),
            step("no alarm any more", |w| w.insert("five", claim(5, 50000)), []),
            step("fire", World::fire, ["close 5"]),
            step("focus", |w| w.session.focus("check").unwrap(), []),
            step("fire", World::fire, ["check 5", "audit 5", "file 5"]),
        ],
    );
}

#[rule(no_loop)]
fn grow(#[when(c.amount < 100)] c: Ref<Claim>, cx: &mut Then) -> RuleResult {
    say(format!("grow {}", c.amount));
    cx.modify(c, |c| c.amount += 1)
}

#[rule(lock_on_active, salience = -1)]
fn welcome(#[when(c.amount > 0)] c: &Claim, cx: &mut Then) -> RuleResult {
    say(format!("welcome {}", c.id));
    if c.id == 2 {
        cx.halt();
    }
    Ok(())
}

#[rule(group = "desk", lock_on_active)]
fn assign(c: Ref<Claim>, cx: &mut Then) -> RuleResult {
    say(format!("assign {}", c.id));
    cx.touch(c)?;
    Ok(())
}

ruleset!(locks = 1: grow, welcome, assign);

/// Scenario 30.
#[test]
fn no_loop_and_lock_on_active_go_on_where_they_were() {
    survives(
        locks,
        &[
            step("a small one", |w| w.insert("one", claim(1, 5)), []),
            step("one firing", |w| w.fire_some(1), ["grow 5"]),
            // MAIN was active when `grow` changed it.
            step("fire", World::fire, []),
            step(
                "three",
                |w| {
                    w.insert("two", claim(2, 500));
                    w.insert("three", claim(3, 500));
                },
                [],
            ),
            step("it halts", World::fire, ["welcome 2"]),
            step("too late", |w| w.insert("four", claim(4, 500)), []),
            step("evaluate", World::flush, []),
            step("MAIN is still active", World::fire, ["welcome 3"]),
            step("now it is not", |w| w.insert("five", claim(5, 500)), []),
            step("the desk gets the focus", |w| w.session.focus("desk").unwrap(), []),
            step("too late again", |w| w.insert("six", claim(6, 500)), []),
            step("one firing", |w| w.fire_some(1), ["assign 1"]),
            // Triggered again, now too late: 5 loses the turn that it had.
            step("touched", |w| w.session.touch(w.held::<Claim>("five")).unwrap(), []),
            step(
                "MAIN was not active meanwhile",
                World::fire,
                [
                    "assign 2",
                    "assign 3",
                    "assign 4",
                    "grow 6",
                    "welcome 6",
                    "welcome 5",
                    "welcome 2",
                ],
            ),
            step("it goes on", World::fire, ["welcome 3", "welcome 4"]),
            step("fire", World::fire, []),
        ],
    );
}

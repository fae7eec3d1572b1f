//! Chains against a map of sets.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::trail::Trailed;

fn sorted(chains: &Chains, code: u64) -> Vec<u32> {
    let mut members: Vec<u32> = chains.members(code).collect();
    members.sort_unstable();
    members
}

/// Random links and unlinks against a map of sets; codes collide in the table on purpose.
#[test]
fn behaves_as_a_map_of_sets_and_undoes() {
    let mut chains = Chains::default();
    let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    let mut random = 1_u64;
    let mut step = |chains: &mut Chains, model: &mut BTreeMap<u64, BTreeSet<u32>>, scope| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let member = u32::try_from(random >> 33).unwrap() % 200;
        let code = (random >> 40) % 64;
        let old = model.iter().find(|(_, set)| set.contains(&member)).map(|(code, _)| *code);
        if let Some(old) = old {
            chains.unlink(scope, member);
            model.get_mut(&old).unwrap().remove(&member);
        } else {
            chains.link(scope, member, code);
            model.entry(code).or_default().insert(member);
        }
    };
    for _ in 0..5_000 {
        step(&mut chains, &mut model, Scope::NONE);
    }
    // All of a code at once, and then all of them anew.
    for code in 0..8 {
        let mut taken = Vec::new();
        let mut member = chains.take(Scope::NONE, code);
        while member != NONE {
            taken.push(member);
            member = chains.after(member);
        }
        taken.sort_unstable();
        let known = model.insert(code, BTreeSet::new()).unwrap_or_default();
        assert_eq!(taken, known.into_iter().collect::<Vec<_>>());
    }
    let linked: BTreeSet<u32> = model.values().flatten().copied().collect();
    let unlinked: Vec<u32> = (0..200).filter(|member| !linked.contains(member)).collect();
    let codes: Vec<u64> = unlinked.iter().map(|&member| u64::from(member) % 64).collect();
    chains.link_all(Scope::NONE, &unlinked, &codes);
    for (&member, &code) in unlinked.iter().zip(&codes) {
        model.entry(code).or_default().insert(member);
    }
    let kept = model.clone();
    let scope = Scope::NONE.next().unwrap();
    for _ in 0..500 {
        step(&mut chains, &mut model, scope);
    }
    for code in 0..64 {
        let expected: Vec<u32> = model.get(&code).into_iter().flatten().copied().collect();
        assert_eq!(sorted(&chains, code), expected);
    }
    chains.undo(scope);
    for code in 0..64 {
        let expected: Vec<u32> = kept.get(&code).into_iter().flatten().copied().collect();
        assert_eq!(sorted(&chains, code), expected, "after undoing");
    }
}

/// Codes in ranges that move and grow, with some far away: the table is dense and hashed in turns, and back again
/// after undoing.
#[test]
fn layouts_change_with_the_codes_and_are_undone() {
    let mut chains = Chains::default();
    let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    let (mut random, mut seen) = (1_u64, BTreeSet::new());
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let mut codes_of: BTreeMap<u32, u64> = BTreeMap::new();
    for phase in 0..400_u64 {
        let scope = if phase % 3 == 0 { Scope::NONE.next().unwrap() } else { Scope::NONE };
        let (kept, kept_codes) = (model.clone(), codes_of.clone());
        // Around zero, at both ends of the numbers, and far away.
        let first =
            [0_i64, -20, i64::MAX - 30, i64::MIN, 1 << 40][usize::try_from(phase / 9 % 5).unwrap()];
        let (width, far) = (1 + draw(100), draw(3) == 0);
        for _ in 0..draw(60) {
            let member = u32::try_from(draw(100)).unwrap();
            if let Some(code) = codes_of.remove(&member) {
                chains.unlink(scope, member);
                model.get_mut(&code).unwrap().remove(&member);
                continue;
            }
            let code = first.wrapping_add_unsigned(draw(width)).cast_unsigned();
            let code = if far && draw(20) == 0 { code ^ draw(1 << 30) << 20 } else { code };
            if draw(2) == 0 {
                chains.link(scope, member, code);
            } else {
                chains.link_all(scope, &[member], &[code]);
            }
            codes_of.insert(member, code);
            model.entry(code).or_default().insert(member);
        }
        seen.insert(*chains.layout.get() == Layout::Hashed);
        for (&code, members) in &model {
            assert_eq!(sorted(&chains, code), members.iter().copied().collect::<Vec<_>>());
        }
        if scope.is_open() && phase % 2 == 0 {
            chains.undo(scope);
            (model, codes_of) = (kept, kept_codes);
            for (&code, members) in &model {
                assert_eq!(sorted(&chains, code), members.iter().copied().collect::<Vec<_>>());
            }
        } else {
            chains.forget();
        }
        if draw(40) == 0 {
            chains.reset();
            model.clear();
            codes_of.clear();
        }
    }
    assert_eq!(seen.len(), 2, "both layouts were there");
}

/// Whoever comes and goes at the ends of a range, or far away from it, does not have the table laid out each time.
#[test]
fn a_table_is_laid_out_seldom() {
    for by in [1_u64, 3, 1000] {
        let mut chains = Chains::default();
        (0..1000).for_each(|member| chains.link(Scope::NONE, member, u64::from(member)));
        assert_ne!(*chains.layout.get(), Layout::Hashed);
        let (mut layouts, mut changes) = ((*chains.layout.get(), chains.heads.len()), 0);
        for step in 0..1000 {
            let code = if step % 2 == 0 { 1000 + step * by } else { (step * by).wrapping_neg() };
            chains.link(Scope::NONE, 1000, code);
            chains.unlink(Scope::NONE, 1000);
            let now = (*chains.layout.get(), chains.heads.len());
            changes += u32::from(std::mem::replace(&mut layouts, now) != now);
        }
        assert!(changes <= 8, "{changes} layouts, by {by}");
    }
}

//! When no tuple any more can come about inside of a `not` over several patterns: from the latest times that
//! its events can have, which conditions bring down again and again until nothing changes.

use super::matching::last;
use crate::ir::{Apart, Moment, Nested, Part, Pattern};
use crate::rows::Rows;

/// A time of an event: its end, or its beginning.
type Time = (usize, bool);

/// The latest times of the events that parts stand for: beginning and end, as far as they have one.
#[derive(Clone, Default)]
struct Latest {
    times: Vec<[Option<i64>; 2]>,
    lasting: Vec<bool>,
    /// A time, the one that bounds it, and by how much it is later at most.
    bounds: Vec<(Time, Time, i64)>,
    /// By position behind the tuple before them all.
    at: Vec<usize>,
}

/// What has to come, and what must not have come.
#[derive(Default)]
struct Asked {
    events: Vec<usize>,
    absences: Vec<(Vec<Part>, Vec<usize>)>,
}

/// The moment from which on no tuple comes about that extends these rows, if there is one.
pub(super) fn horizon(nested: &Nested, rows: &Rows<'_>, width: usize) -> Option<i64> {
    let moment =
        (!nested.exists).then(|| latest(&nested.parts, Some(rows), width, Latest::default(), 0));
    moment.flatten().map(|last| last.min(i64::MAX - 1) + 1)
}

/// Whether there is one, whatever the rows.
pub(super) fn is_bounded(nested: &Nested, width: usize) -> bool {
    latest(&nested.parts, None, width, Latest::default(), 0).is_some()
}

/// The last moment at which a tuple of these parts comes about. Absences in between are decided a moment
/// after the last event that could have ended them.
fn latest(
    parts: &[Part],
    rows: Option<&Rows<'_>>,
    width: usize,
    mut known: Latest,
    own: usize,
) -> Option<i64> {
    let mut asked = Asked::default();
    gather(parts, rows, width, &mut known, own, &mut asked)?;
    settle(&mut known);
    let mut last = None;
    for event in asked.events {
        last = last.max(Some(known.times[event][0]?));
    }
    for (parts, at) in asked.absences {
        let mut within = known.clone();
        within.at = at;
        let (visible, own) = (within.at.len(), within.times.len());
        if latest(&parts, None, width + visible, Latest::default(), 0).is_some() {
            last = last.max(Some(latest(&parts, rows, width, within, own)?.saturating_add(1)));
        }
    }
    last
}

fn gather(
    parts: &[Part],
    rows: Option<&Rows<'_>>,
    width: usize,
    known: &mut Latest,
    own: usize,
    asked: &mut Asked,
) -> Option<()> {
    let before = known.at.len();
    for part in parts {
        match part {
            Part::Each(pattern) => {
                let event = add(pattern, rows, width, known, own);
                known.at.push(event);
                asked.events.push(event);
            }
            Part::Exists(pattern) => asked.events.push(add(pattern, rows, width, known, own)),
            Part::Nested(nested) if nested.exists => {
                gather(&nested.parts, rows, width, known, own, asked)?;
            }
            Part::Not(pattern) => {
                asked.absences.push((vec![Part::Each(pattern.clone())], known.at.clone()));
            }
            Part::Nested(nested) => {
                asked.absences.push((nested.parts.clone(), known.at.clone()));
            }
            Part::Group(_) => return None,
        }
    }
    known.at.truncate(before);
    Some(())
}

/// Takes in an event; of rows that nobody knows every bound is 0.
fn add(
    pattern: &Pattern,
    rows: Option<&Rows<'_>>,
    width: usize,
    known: &mut Latest,
    own: usize,
) -> usize {
    let (event, position) = (known.times.len(), width + known.at.len());
    known.times.push([None, None]);
    known.lasting.push(pattern.fact.lasts());
    for range in &pattern.conditions.ranges {
        let Some(Apart { later, earlier, least, most: Some(most) }) = range.apart else { continue };
        let is_later = later.position == position;
        let (mine, other) = if is_later { (later, earlier) } else { (earlier, later) };
        if other.position < width {
            let bound = rows.map_or(Some(0), |rows| last(range, rows));
            let time = &mut known.times[event][usize::from(mine.end)];
            *time = earliest(*time, bound);
            continue;
        }
        let place = |moment: Moment| match moment.position {
            at if at == position => (event, moment.end),
            at => (known.at[at - width], moment.end),
        };
        let (later, earlier) = (place(later), place(earlier));
        let both = [(later, earlier, most), (earlier, later, least.saturating_neg())];
        known.bounds.extend(both.into_iter().filter(|((of, _), ..)| *of >= own));
    }
    event
}

fn settle(known: &mut Latest) {
    for _ in 0..2 * known.times.len() {
        for event in 0..known.times.len() {
            let [begins, ends] = known.times[event];
            let begins = earliest(begins, ends);
            let ends = if known.lasting[event] { ends } else { begins };
            known.times[event] = [begins, ends];
        }
        for &((event, end), (other, other_end), later) in &known.bounds {
            let bound = known.times[other][usize::from(other_end)];
            let time = &mut known.times[event][usize::from(end)];
            let bound = bound.map(|bound| bound.saturating_add(later));
            *time = earliest(*time, bound);
        }
    }
    for event in 0..known.times.len() {
        let [begins, ends] = known.times[event];
        known.times[event][0] = earliest(begins, ends);
    }
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

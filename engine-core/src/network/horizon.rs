//! When it is known that nothing makes a tuple any more: of a `not` over several patterns, from the times
//! that its conditions leave them.
//!
//! A temporal condition bounds each of its two events by the other one. So an event inside may be bounded by
//! one of the tuple before it (an *anchor*) by way of others inside: what follows an event within three
//! seconds, which follows one of the match within five, has begun within eight, if the one between does not
//! last. The distances are known when the network is made; when a tuple is there, each anchor is asked once.

use crate::ir::{Apart, Moment, Nested, Part, Pattern, RangeJoin};
use crate::network::windows::decided;
use crate::rows::Rows;

/// The last moment at which a tuple may come about, as far as its tuple before it says so.
pub(crate) struct Horizon {
    /// What has to come for it, with the ways in which each is bounded.
    awaited: Vec<Vec<Bound>>,
}

/// An anchor, and how many milliseconds later at most what is awaited comes.
struct Bound {
    anchor: RangeJoin,
    after: i64,
}

/// Time does not bound when a tuple comes about.
#[derive(Default)]
pub(crate) struct Unbounded {
    /// Variable of the first part that may come at any time.
    pub(crate) variable: String,
    /// Whether it bounds others, to no avail.
    pub(crate) in_vain: bool,
}

impl Horizon {
    /// Of the tuples inside of an absence, which extend one of so many positions.
    pub(crate) fn of(nested: &Nested, width: usize) -> Result<Self, Unbounded> {
        if nested.exists {
            return Err(Unbounded::default());
        }
        let mut search = Search { width, ..Search::default() };
        search.parts(&nested.parts)?;
        search.bound()?;
        if search.awaited.is_empty() {
            Err(Unbounded::default())
        } else {
            Ok(Self { awaited: search.awaited })
        }
    }

    /// The first moment at which nothing that happens then makes a tuple any more.
    pub(crate) fn decided(&self, rows: &Rows<'_>) -> i64 {
        let of_one = |bounds: &Vec<Bound>| {
            let moments = bounds.iter().map(|Bound { anchor, after }| {
                let decided = decided(anchor, rows).expect("anchors are bounded");
                decided.saturating_add(*after)
            });
            moments.min().expect("what is awaited is bounded")
        };
        self.awaited.iter().map(of_one).max().expect("something is awaited")
    }
}

/// The two times of an event that a pattern inside stands for, as one number each.
fn begins(node: usize) -> usize {
    2 * node
}

fn ends(node: usize) -> usize {
    2 * node + 1
}

/// One time is at most so many milliseconds later than another.
#[derive(Clone, Copy)]
struct AtMost {
    time: usize,
    than: usize,
    later: i64,
}

/// The parts inside of an absence, with what their conditions say of their times.
#[derive(Default)]
struct Search {
    /// Positions of the tuple before them.
    width: usize,
    /// The patterns at the positions behind that.
    inside: Vec<usize>,
    /// Variables of the patterns, those included that bind nothing.
    nodes: Vec<String>,
    /// The first one that may bound others: those before stand outside of an absence in between.
    own: usize,
    anchors: Vec<(usize, RangeJoin)>,
    relations: Vec<AtMost>,
    /// Patterns of which a fact has to be there.
    wanted: Vec<usize>,
    /// Absences in between, with what they see.
    absent: Vec<(Vec<usize>, Nested)>,
    awaited: Vec<Vec<Bound>>,
    /// Milliseconds that pass between the last event and the decision on absences in between.
    delay: i64,
}

impl Search {
    /// Takes in parts, unless one of them may change at any time.
    fn parts(&mut self, parts: &[Part]) -> Result<(), Unbounded> {
        let before = self.inside.len();
        for part in parts {
            match part {
                Part::Each(pattern) => {
                    let node = self.pattern(pattern);
                    self.inside.push(node);
                    self.wanted.push(node);
                }
                Part::Exists(pattern) => {
                    let node = self.pattern(pattern);
                    self.wanted.push(node);
                }
                Part::Not(pattern) => {
                    let parts = vec![Part::Each(pattern.clone())];
                    self.absent.push((self.inside.clone(), Nested { exists: false, parts }));
                }
                Part::Nested(nested) if nested.exists => self.parts(&nested.parts)?,
                Part::Nested(nested) => self.absent.push((self.inside.clone(), nested.clone())),
                // It may have another value at any time.
                Part::Group(group) => {
                    let variable = group.variable.clone();
                    return Err(Unbounded { variable, in_vain: !self.anchors.is_empty() });
                }
            }
        }
        self.inside.truncate(before);
        Ok(())
    }

    /// Bounds everything that has to come, if time does.
    fn bound(&mut self) -> Result<(), Unbounded> {
        let wanted = std::mem::take(&mut self.wanted);
        let free = wanted.iter().find(|&&node| !self.await_begin(node));
        if let Some(&node) = free {
            let in_vain = wanted.iter().any(|&node| self.await_begin(node));
            return Err(Unbounded { variable: self.nodes[node].clone(), in_vain });
        }
        for (inside, absent) in std::mem::take(&mut self.absent) {
            // It lets a tuple pass when it is decided, if that takes its time.
            if Horizon::of(&absent, self.width + inside.len()).is_err() {
                continue;
            }
            let mut search = Self {
                width: self.width,
                inside,
                nodes: self.nodes.clone(),
                own: self.nodes.len(),
                anchors: self.anchors.clone(),
                relations: self.relations.clone(),
                delay: self.delay + 1,
                ..Self::default()
            };
            let in_vain = |unbounded| Unbounded { in_vain: true, ..unbounded };
            search.parts(&absent.parts).and_then(|()| search.bound()).map_err(in_vain)?;
            self.awaited.append(&mut search.awaited);
        }
        Ok(())
    }

    /// Takes in a pattern's conditions.
    fn pattern(&mut self, pattern: &Pattern) -> usize {
        let node = self.nodes.len();
        self.nodes.push(pattern.variable.clone());
        self.relations.push(AtMost { time: begins(node), than: ends(node), later: 0 });
        if !pattern.fact.lasts() {
            self.relations.push(AtMost { time: ends(node), than: begins(node), later: 0 });
        }
        let position = self.width + self.inside.len();
        for range in &pattern.conditions.ranges {
            let Some(Apart { later, earlier, least, most: Some(most) }) = range.apart else {
                continue;
            };
            let (own, other) =
                if later.position == position { (later, earlier) } else { (earlier, later) };
            let own = if own.end { ends(node) } else { begins(node) };
            if other.position < self.width {
                self.anchors.push((own, range.clone()));
                continue;
            }
            let Some(other) = self.time(other) else { continue };
            let (later, earlier) =
                if later.position == position { (own, other) } else { (other, own) };
            self.relate(AtMost { time: later, than: earlier, later: most });
            self.relate(AtMost { time: earlier, than: later, later: least.saturating_neg() });
        }
        node
    }

    fn relate(&mut self, relation: AtMost) {
        // What is absent says nothing of what is there.
        if relation.time / 2 >= self.own {
            self.relations.push(relation);
        }
    }

    /// The time of an event inside.
    fn time(&self, moment: Moment) -> Option<usize> {
        let node = *self.inside.get(moment.position - self.width)?;
        Some(if moment.end { ends(node) } else { begins(node) })
    }

    /// An event has to begin; says whether something bounds when.
    fn await_begin(&mut self, node: usize) -> bool {
        let bounds = self.anchors.iter().filter_map(|(time, anchor)| {
            let after = self.distance(*time, begins(node))?.saturating_add(self.delay);
            Some(Bound { anchor: anchor.clone(), after })
        });
        let bounds: Vec<Bound> = bounds.collect();
        let is_bounded = !bounds.is_empty();
        self.awaited.extend(is_bounded.then_some(bounds));
        is_bounded
    }

    /// How much later a time is than another one, at most.
    fn distance(&self, from: usize, to: usize) -> Option<i64> {
        let mut latest = vec![None; 2 * self.nodes.len()];
        latest[from] = Some(0);
        // As often as there are times: conditions that contradict each other would lead down for ever.
        for _ in 0..latest.len() {
            for &AtMost { time, than, later } in &self.relations {
                let Some(known) = latest[than] else { continue };
                let bound = i64::saturating_add(known, later);
                if latest[time].is_none_or(|latest| bound < latest) {
                    latest[time] = Some(bound);
                }
            }
        }
        latest[to]
    }
}

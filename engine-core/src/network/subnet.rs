//! `not` and `exists` over several patterns: outer tokens that no member tuple, or at least one,
//! extends.
//!
//! The patterns are levels of their own that hang from the outer tokens; this node ends them. It
//! counts for each outer token the member tuples that extend it. Every member that comes or goes is
//! one addition, and nothing is looked for.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_wm::{Member, Seq};

use crate::chains::NONE;
use crate::network::horizon::Horizon;
use crate::network::tokens::Tokens;
use crate::network::undecided::Undecided;
use crate::rows::Rows;
use crate::trail::{Column, Scope, trailed};

/// What a subnetwork's end needs to know of its rule.
pub(crate) struct SubnetPlan {
    /// Level of the outer tokens: the one before the first inner level; `None` for the root.
    pub(crate) outer_level: Option<usize>,
    /// Positions of the outer tokens.
    pub(crate) outer_width: usize,
    /// Whether outer tokens with a member pass (`exists`) or those without (`not`).
    pub(crate) exists: bool,
    /// When it is known that an outer token gets no member any more, if time says so.
    pub(crate) horizon: Option<Horizon>,
    /// Whether it stands inside of another one.
    pub(crate) inside: bool,
}

/// What is known of an outer token.
#[derive(Clone, Copy)]
struct Outer {
    /// How many member tuples extend it.
    members: u32,
    /// Its token on the other side, or `NONE`.
    child: u32,
}

const ALONE: Outer = Outer { members: 0, child: NONE };

/// A member tuple came or went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) outer: u32,
    pub(crate) member: u32,
    pub(crate) came: bool,
}

/// Members of an outer tuple, or of a member tuple.
pub(crate) type Identity = Vec<Member>;

/// The end of a subnetwork.
#[derive(Clone)]
pub(crate) struct Subnet {
    pub(crate) plan: Arc<SubnetPlan>,
    /// Of an absence that lets tuples pass only when it is decided.
    pub(crate) undecided: Option<Box<Undecided>>,
    outers: Column<Outer>,
    /// By member: the outer token that it extends.
    outer_of: Column<u32>,
    /// Scratch of the current round.
    touched: Vec<u32>,
    /// Scratch of the current flush: what came and went, by outer token once somebody asks; the net of
    /// it by outer tuple, if there were several rounds; and triggers that were dear to find, by outer
    /// token.
    moves: Vec<Move>,
    sorted: bool,
    by_identity: Option<BTreeMap<Identity, Vec<Move>>>,
    pub(crate) triggers: BTreeMap<u32, Option<Seq>>,
}

trailed!(Subnet { undecided, outers, outer_of });

/// The levels that it reads.
pub(crate) struct Inputs<'a> {
    pub(crate) members: &'a Tokens,
    pub(crate) outer: &'a Tokens,
    /// Gives the outer token of a live member.
    pub(crate) outer_of: &'a dyn Fn(u32) -> u32,
    /// Outer tokens that were decided by time alone.
    pub(crate) decided: &'a [u32],
    /// What the outer tokens' rows are of.
    pub(crate) sources: &'a [&'a dyn Any],
    /// The moment that is evaluated.
    pub(crate) moment: i64,
}

impl Subnet {
    pub(crate) fn new(plan: SubnetPlan) -> Self {
        // The match itself waits for what bounds an absence in time; a tuple inside comes about then.
        let waits = plan.inside && plan.horizon.is_some();
        Self {
            plan: Arc::new(plan),
            undecided: waits.then(Box::default),
            outers: Column::default(),
            outer_of: Column::default(),
            touched: Vec::new(),
            moves: Vec::new(),
            sorted: false,
            by_identity: None,
            triggers: BTreeMap::new(),
        }
    }

    /// Brings the tokens up to date with one round's changes.
    ///
    /// All members that go and come are counted before any outer token is judged, so that one that
    /// replaces another in a flush leaves no trace.
    pub(crate) fn process(&mut self, scope: Scope, inputs: &Inputs<'_>, out: &mut Tokens) {
        let Inputs { members, outer, outer_of, .. } = inputs;
        let mut touched = std::mem::take(&mut self.touched);
        for &member in &members.deleted {
            let of = *self.outer_of.get(member);
            self.outers.change(scope, of, |outer| outer.members -= 1);
            self.moves.push(Move { outer: of, member, came: false });
            touched.push(of);
        }
        for &token in &outer.deleted {
            let child = self.outers.get(token).child;
            if child != NONE {
                out.kill(scope, child);
            }
            self.outers.set(scope, token, ALONE);
            if let Some(undecided) = &mut self.undecided {
                undecided.forget(scope, token);
            }
        }
        for &token in outer.inserted() {
            self.outers.reach(scope, token, &ALONE);
            self.outers.set(scope, token, ALONE);
            touched.push(token);
        }
        for &member in members.inserted() {
            let of = outer_of(member);
            self.outer_of.reach(scope, member, &NONE);
            self.outer_of.set(scope, member, of);
            self.outers.change(scope, of, |outer| outer.members += 1);
            self.moves.push(Move { outer: of, member, came: true });
            touched.push(of);
        }
        self.bound(scope, inputs, &mut touched);
        for token in touched.drain(..) {
            if outer.is_live(token) {
                self.settle(scope, outer, token, out);
            }
        }
        self.touched = touched;
        for &token in &outer.updated {
            if outer.is_live(token) && self.outers.get(token).child != NONE {
                out.mark_updated(self.outers.get(token).child);
            }
        }
    }

    /// Notes when the absence of outer tokens is decided.
    fn bound(&mut self, scope: Scope, inputs: &Inputs<'_>, touched: &mut Vec<u32>) {
        let Some(undecided) = &mut self.undecided else { return };
        let horizon = self.plan.horizon.as_ref().expect("it waits for decisions");
        let outer = inputs.outer;
        touched.extend_from_slice(inputs.decided);
        touched.extend_from_slice(&outer.updated);
        for &token in outer.inserted().iter().chain(&outer.updated) {
            if outer.is_live(token) {
                let rows = Rows::new(inputs.sources, outer.row(token));
                undecided.set(scope, token, horizon.decided(&rows), inputs.moment);
            }
        }
    }

    /// Whether an outer token that was taken from the queue passes now that it is decided.
    pub(crate) fn is_free(&self, token: u32) -> bool {
        self.outers.get(token).members == 0
    }

    /// Makes or kills an outer token's child as its members demand.
    fn settle(&mut self, scope: Scope, outer: &Tokens, token: u32, out: &mut Tokens) {
        let Outer { members, child } = *self.outers.get(token);
        let waits = self.undecided.as_ref().is_some_and(|it| !it.is_decided(token));
        let passes = (members > 0) == self.plan.exists && !waits;
        if passes && child == NONE {
            let child = out.add(scope, token, NONE, outer.row(token), None);
            self.outers.change(scope, token, |outer| outer.child = child);
        } else if !passes && child != NONE {
            out.kill(scope, child);
            self.outers.change(scope, token, |outer| outer.child = NONE);
        }
    }

    pub(crate) fn has_moves(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Members of an outer token that came or went in this flush.
    ///
    /// For a flush of one round: no token comes and goes in it.
    pub(crate) fn moved(&mut self, outer: u32) -> &[Move] {
        if !self.sorted {
            self.moves.sort_unstable_by_key(|it| (it.outer, it.member));
            self.sorted = true;
        }
        let start = self.moves.partition_point(|it| it.outer < outer);
        let behind = &self.moves[start..];
        &behind[..behind.partition_point(|it| it.outer == outer)]
    }

    /// As [`Subnet::moved`], for a flush of several rounds: a later one may have brought back, as
    /// other tokens, what an earlier one took away. Tuples are told apart by what they stand for.
    pub(crate) fn moved_in_rounds(
        &mut self,
        outer: &Identity,
        identities: impl Fn(Move) -> (Identity, Identity),
    ) -> &[Move] {
        let moves = &self.moves;
        let by_identity = self.by_identity.get_or_insert_with(|| net_moves(moves, identities));
        by_identity.get(outer).map_or(&[], Vec::as_slice)
    }

    /// Forgets what a flush remembers that did not come to its end.
    pub(crate) fn abandon(&mut self) {
        self.touched.clear();
        self.end_flush();
    }

    pub(crate) fn end_flush(&mut self) {
        self.moves.clear();
        self.sorted = false;
        self.by_identity = None;
        self.triggers.clear();
    }
}

/// What the moves of a flush come to: the last move of each tuple that was there at the flush's start
/// or is there at its end, but not both.
fn net_moves(
    moves: &[Move],
    identities: impl Fn(Move) -> (Identity, Identity),
) -> BTreeMap<Identity, Vec<Move>> {
    let mut net: BTreeMap<(Identity, Identity), (bool, Move)> = BTreeMap::new();
    for &it in moves {
        net.entry(identities(it)).or_insert((it.came, it)).1 = it;
    }
    let mut by_outer: BTreeMap<Identity, Vec<Move>> = BTreeMap::new();
    for ((outer, _), (first_came, last)) in net {
        if first_came == last.came {
            by_outer.entry(outer).or_default().push(last);
        }
    }
    by_outer
}

//! Facts of the line labelling, and the geometry that tells junctions apart.

use steadfast::prelude::*;

/// Points are `x * SPAN + y`, so that they can be compared and joined as one number.
const SPAN: i64 = 4096;

/// The number of a point.
pub fn point(x: i64, y: i64) -> i64 {
    x * SPAN + y
}

/// One line of the drawing.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    pub region: i64,
    pub p1: i64,
    pub p2: i64,
}

/// What the labelling is at.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    pub is: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Phase {
    Duplicate,
    Detect,
    First,
    Second,
    Label,
    Plot,
    Done,
}

impl Phase {
    /// The phase behind this one; the last one stays.
    pub fn next(self) -> Self {
        match self {
            Self::Duplicate => Self::Detect,
            Self::Detect => Self::First,
            Self::First => Self::Second,
            Self::Second => Self::Label,
            Self::Label => Self::Plot,
            Self::Plot | Self::Done => Self::Done,
        }
    }
}

/// What a line is in space: an edge that stands out, one that goes in, or the border of the body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Label {
    None,
    Plus,
    Minus,
    Border,
}

/// One direction of a line.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Edge {
    pub region: i64,
    pub p1: i64,
    pub p2: i64,
    pub label: Label,
    /// Whether its junction at `p1` was found.
    pub joined: bool,
    pub plotted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Two lines.
    L,
    /// Three lines all around.
    Fork,
    /// Three lines within half a turn: a barb, the shaft, the other barb.
    Arrow,
}

/// Where lines meet. An `L` has no `p2`.
#[derive(Fact, Clone, Debug, Serialize, Deserialize)]
pub struct Junction {
    pub region: i64,
    pub kind: Kind,
    pub base: i64,
    pub p1: i64,
    pub p2: i64,
    pub p3: i64,
}

impl Junction {
    /// The junction of three lines from `base`.
    pub fn of_three(region: i64, base: i64, [a, b, c]: [i64; 3]) -> Self {
        // Twice the area of the triangle: above 0 if the second point is counter-clockwise of the first.
        let turn = |to: i64, from: i64| {
            let delta = |p: i64| (p / SPAN - base / SPAN, p % SPAN - base % SPAN);
            let ((x1, y1), (x2, y2)) = (delta(to), delta(from));
            x1 * y2 - y1 * x2
        };
        let orders = [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]];
        let is_arrow =
            |[a, b, c]: &[i64; 3]| turn(*a, *b) > 0 && turn(*b, *c) > 0 && turn(*a, *c) > 0;
        let (kind, [p1, p2, p3]) = match orders.into_iter().find(is_arrow) {
            Some(order) => (Kind::Arrow, order),
            None => (Kind::Fork, [a, b, c]),
        };
        Self { region, kind, base, p1, p2, p3 }
    }
}

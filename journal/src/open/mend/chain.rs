//! Which segments make up the journal, and in what order: by the frames that they continue.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::scan::{Candidate, FrameEnd, Scanned};
use crate::error::OpenError;
use crate::files::Dir;
use crate::manifest::{Manifest, SealEntry, SegmentEntry};
use crate::segment::SEGMENT_HEADER;

/// So many segments before one are looked at, beside those whose frame it continues.
const NEAREST: usize = 64;

/// What it costs to begin in the middle: more than any hole.
const NO_BEGIN: u64 = 1 << 56;

/// The segments that a manifest should list.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) entries: Vec<SegmentEntry>,
    /// Those that follow the one before by their numbers alone.
    pub(super) assumed: Vec<usize>,
    /// Whether the first of them is the first of a journal.
    pub(super) has_begin: bool,
}

/// How a segment follows another one. Of ways as good, the one that leaves out fewer numbers.
#[derive(Clone, Copy, Debug)]
struct Link {
    from: usize,
    kind: Kind,
    /// The last frame of the other one that is there.
    last_lsn: u64,
    /// Where the other one was sealed, and the header checksum that follows.
    seal: SealEntry,
    end_crc: u32,
}

/// The better, the less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// It continues a frame that is there, or one that a manifest knows of.
    Continues,
    /// It begins where what a normalization has left ends, by their numbers: that does not say which
    /// frame it ended with.
    Behind,
    /// It begins where the other one is damaged.
    Damaged,
    /// Something is missing between them. Opening will say what.
    Missing,
}

impl Kind {
    const fn cost(self) -> u64 {
        match self {
            Self::Continues => 0,
            Self::Behind => 1,
            Self::Damaged => 1 << 24,
            Self::Missing => 1 << 44,
        }
    }
}

/// The best way to a segment.
#[derive(Clone, Copy, Debug)]
struct Way {
    cost: u64,
    /// How many segments: of two ways as good the one that has everything, not what is left of it.
    segments: usize,
    link: Option<Link>,
}

impl Chain {
    /// Finds the newest history that begins at the begin. What is not part of it is left out.
    ///
    /// A cut lets numbers go on behind everything that was used before, so the segment with the
    /// greatest first frame is of the newest history; its predecessors are those whose frames are
    /// continued. Segments that a cut has dropped, or a normalization replaced, are on no such way,
    /// or on a longer one.
    pub(super) fn of(
        dir: &Dir,
        candidates: &[Candidate],
        known: &[Manifest],
        left_out: &mut Vec<PathBuf>,
    ) -> Result<Self, OpenError> {
        let wanted: BTreeSet<u32> = candidates.iter().map(|other| other.header.prev_crc).collect();
        let mut scanned = Vec::with_capacity(candidates.len());
        let mut ends: BTreeMap<u32, Vec<(usize, FrameEnd)>> = BTreeMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let found = candidate.scan(&wanted)?;
            for end in &found.wanted {
                ends.entry(end.crc).or_default().push((index, *end));
            }
            scanned.push(found);
        }
        let segments = Segments { candidates, scanned: &scanned, known };
        let mut ways: Vec<Way> = Vec::with_capacity(candidates.len());
        for index in 0..candidates.len() {
            let way = segments.best_way(index, &ends, &ways);
            ways.push(way);
        }
        let last = segments.newest(&ways);
        let mut entries = Vec::new();
        let mut assumed = Vec::new();
        let mut used = BTreeSet::new();
        let (mut index, mut seal, mut end_crc) = (last, None, 0);
        let has_begin = loop {
            used.insert(index);
            let end_crc_listed = if candidates[index].header.compacted { end_crc } else { 0 };
            entries.push(candidates[index].entry(seal, end_crc_listed));
            let Some(link) = ways[index].link else { break candidates[index].is_begin() };
            if link.kind == Kind::Behind {
                assumed.push(entries.len() - 1);
            }
            (index, seal, end_crc) = (link.from, Some(link.seal), link.end_crc);
        };
        entries.reverse();
        let assumed = assumed.into_iter().map(|index| entries.len() - 1 - index).rev().collect();
        let unused = candidates.iter().enumerate().filter(|(index, _)| !used.contains(index));
        left_out.extend(unused.map(|(_, candidate)| dir.path.join(&candidate.path)));
        Ok(Self { entries, assumed, has_begin })
    }
}

struct Segments<'a> {
    candidates: &'a [Candidate],
    scanned: &'a [Scanned],
    known: &'a [Manifest],
}

impl Segments<'_> {
    /// The last segment of the newest history.
    fn newest(&self, ways: &[Way]) -> usize {
        let key = |index: &usize| {
            let candidate = &self.candidates[*index];
            let header = &candidate.header;
            // What normalization has left is never the last segment, nor is the copy that a cut has
            // made shorter: a new one comes behind it.
            let frames = self.scanned[*index].end.offset;
            (!header.compacted, header.first_lsn, Reverse(ways[*index].cost), frames)
        };
        (0..self.candidates.len()).max_by_key(key).expect("there is a segment")
    }

    /// The best way to a segment, of those to the segments before.
    fn best_way(
        &self,
        to: usize,
        ends: &BTreeMap<u32, Vec<(usize, FrameEnd)>>,
        ways: &[Way],
    ) -> Way {
        let header = &self.candidates[to].header;
        let is_begin = self.candidates[to].is_begin();
        let begin_cost = if is_begin { 0 } else { NO_BEGIN };
        let mut best = Way { cost: begin_cost, segments: 1, link: None };
        if is_begin {
            return best;
        }
        let continued = ends.get(&header.prev_crc).into_iter().flatten();
        let exact = continued.filter_map(|(from, end)| self.continues(*from, end, to));
        let nearest = to.saturating_sub(NEAREST)..to;
        let behind = nearest.filter_map(|from| self.follows(from, to));
        let is_replaced = self.is_replaced(to, ways);
        let links = exact.chain(behind.filter(|link| link.kind == Kind::Continues || !is_replaced));
        for link in links {
            let Some(way) = ways.get(link.from) else { continue };
            let left_out = header.first_lsn - 1 - link.last_lsn.min(header.first_lsn - 1);
            let cost = way.cost + link.kind.cost() + left_out.min(Kind::Damaged.cost() - 1);
            let way = Way { cost, segments: way.segments + 1, link: Some(link) };
            // Of two that are as good, the later one: a copy that a cut has made shorter.
            if (way.cost, Reverse(way.segments)) <= (best.cost, Reverse(best.segments)) {
                best = way;
            }
        }
        best
    }

    /// Whether what a normalization has left stands for the begin of the segment, too. Both are there
    /// after a crash, before the old files were removed: all of them, or some.
    fn is_replaced(&self, segment: usize, ways: &[Way]) -> bool {
        let lsn = self.candidates[segment].header.first_lsn;
        ways.iter().enumerate().any(|(index, way)| {
            let (header, scanned) = (&self.candidates[index].header, &self.scanned[index]);
            let is_good = scanned.is_whole && scanned.ends_safe && way.cost < Kind::Damaged.cost();
            header.compacted && is_good && (header.first_lsn..=scanned.end.lsn).contains(&lsn)
        })
    }

    /// It continues a frame of the other one.
    fn continues(&self, from: usize, end: &FrameEnd, to: usize) -> Option<Link> {
        let (before, next) = (&self.candidates[from], &self.candidates[to]);
        let seal = SealEntry {
            bytes: end.offset,
            last_lsn: end.lsn.max(before.header.first_lsn - 1),
            end_position: before.position(end.offset),
            digest: u128::from(end.crc),
        };
        let follows = from < to
            && next.header.first_lsn > seal.last_lsn
            && next.header.first_position >= seal.end_position;
        follows.then_some(Link {
            from,
            kind: Kind::Continues,
            last_lsn: next.header.first_lsn - 1,
            seal,
            end_crc: end.crc,
        })
    }

    /// It comes behind the other one, without continuing a frame that is there.
    fn follows(&self, from: usize, to: usize) -> Option<Link> {
        let (before, next) = (&self.candidates[from], &self.candidates[to].header);
        let end = &self.scanned[from].end;
        let last_lsn = end.lsn.max(before.header.first_lsn - 1);
        let end_position = before.position(end.offset);
        if next.first_lsn <= last_lsn || next.first_position < end_position {
            return None;
        }
        if before.header.compacted {
            return self.behind_run(from, to);
        }
        let digest = u128::from(end.crc);
        let missing = SealEntry { bytes: end.offset, last_lsn, end_position, digest };
        // Where it would have been sealed if nothing were missing.
        let bytes = SEGMENT_HEADER + (next.first_position - before.header.first_position);
        let fits = bytes <= before.bytes && !self.scanned[from].is_whole;
        let (kind, seal) = if fits {
            let (end_position, digest) = (next.first_position, u128::from(next.prev_crc));
            let seal = SealEntry { bytes, last_lsn: next.first_lsn - 1, end_position, digest };
            (Kind::Damaged, seal)
        } else {
            (Kind::Missing, missing)
        };
        Some(Link { from, kind, last_lsn, seal, end_crc: 0 })
    }

    /// It comes behind a run of compacted segments, whose last frame is not the one that was last in
    /// the range.
    fn behind_run(&self, from: usize, to: usize) -> Option<Link> {
        let (before, next) = (&self.candidates[from], &self.candidates[to].header);
        let scanned = &self.scanned[from];
        if !scanned.is_whole || !scanned.ends_safe {
            return None;
        }
        let known = self.known.iter().flat_map(|known| &known.segments);
        let known = known.filter(|entry| entry.salt == before.header.salt && entry.compacted);
        let known =
            known.filter(|entry| entry.end_crc == next.prev_crc).find_map(|entry| entry.seal);
        // The run says itself what it ends with; those of older builds do not.
        let run_end = before.header.run_end;
        if run_end
            .is_some_and(|end| end.last_lsn >= next.first_lsn || end.position > next.first_position)
        {
            return None;
        }
        // A seal follows the last group, and takes a header, as numbers do that a cut has left out. A
        // cut right behind what was normalized leaves out the seal's bytes, and not its number.
        let left_out = next.first_lsn - 1 - scanned.end.lsn;
        let least = before.position(scanned.end.offset);
        let headers = if left_out > 1 { left_out - 1 } else { left_out };
        let end_position = next.first_position.checked_sub(Candidate::room_of(headers));
        let told = run_end.map_or_else(
            || (next.first_lsn - 1, end_position.unwrap_or(0).max(least)),
            |end| (end.last_lsn, end.position),
        );
        let seal = known.unwrap_or(SealEntry {
            bytes: scanned.end.offset,
            last_lsn: told.0,
            end_position: told.1,
            digest: 0,
        });
        let kind = match (known, run_end) {
            (Some(_), _) => Kind::Continues,
            (None, Some(end)) if end.crc == next.prev_crc => Kind::Continues,
            // The seal of the range, and nothing else.
            (None, None) if left_out == 1 => Kind::Behind,
            (None, None) if end_position.is_some_and(|end| end >= least) => Kind::Damaged,
            // What it continues is not there. Opening says so, by the checksum of the run's end.
            (None, _) => Kind::Missing,
        };
        let end_crc = run_end.map_or(next.prev_crc, |end| end.crc);
        let last_lsn = scanned.end.lsn;
        Some(Link { from, kind, last_lsn, seal, end_crc })
    }
}

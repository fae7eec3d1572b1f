//! Going on in another list of segments: after a roll, a cut, a normalization.

use std::ops::Range;

use super::{From, Here, Reader};
use crate::error::ReadError;
use crate::frame::Salt;
use crate::manifest::{SealEntry, SegmentEntry};
use crate::segment::SEGMENT_HEADER;

/// Where a place is in a run of compacted segments. What remains of a group may stand anywhere before
/// it in the run, so there is no going on inside.
enum Side {
    /// Nothing of the run was read.
    Begin,
    Inside,
    /// All of it was read, or is not asked for.
    End,
}

impl Here {
    /// Everything before this was read, of the ranges that the segments stand for.
    fn read_to(&self, segment: &SegmentEntry) -> u64 {
        match segment.seal {
            Some(seal) if self.at.offset >= seal.bytes => seal.end_position.max(self.at.position),
            _ => self.at.position,
        }
    }
}

impl Reader {
    /// Takes a new list of segments in and goes on at `here`, which must still be part of the
    /// journal; else it is gone for good.
    pub(super) fn adopt(&mut self, here: &Here) -> Result<(), ReadError> {
        loop {
            self.refresh();
            let Err(error) = self.find_again(here) else { return Ok(()) };
            // Until a place was found there is none to stay at.
            (self.spent, self.at) = (true, here.at);
            if !matches!(error, ReadError::Gone { .. }) || !self.source.renew(self.generation)? {
                return Err(error);
            }
            // It was replaced once more meanwhile.
            self.spent = false;
        }
    }

    /// Finds the place in the present list of segments.
    fn find_again(&mut self, here: &Here) -> Result<(), ReadError> {
        let Some(segment) = &here.segment else {
            return Ok(());
        };
        self.at = here.at;
        // A shortened segment has another name and the same frames; a compacted one has others.
        let is_same = |listed: &SegmentEntry| {
            listed.salt == segment.salt
                && (listed.name() == segment.name() || !(listed.compacted || segment.compacted))
        };
        let Some(index) = self.segments.iter().position(is_same) else {
            return self.go_on_in_place_of(segment, here);
        };
        let seal = self.segments[index].seal;
        if seal.is_some_and(|seal| here.read_to(segment) > seal.end_position) {
            return Err(self.gone());
        }
        match &mut self.current {
            Some(current) if current.salt == Salt::new(self.source.salt(segment)) => {
                current.index = index;
            }
            _ => {
                self.enter(index)?;
                self.at = here.at;
            }
        }
        Ok(())
    }

    /// INV-37: goes on before or behind the run of compacted segments that replaces one that was read.
    fn go_on_in_place_of(&mut self, segment: &SegmentEntry, here: &Here) -> Result<(), ReadError> {
        let Some((run, seal)) = self.compacted_run(segment.first_lsn) else {
            return Err(self.gone());
        };
        // What was read behind the end of the run was cut off.
        if here.at.next_lsn > seal.last_lsn + 1 {
            return Err(self.gone());
        }
        match self.side(&run, &seal, here.read_to(segment))? {
            Side::Begin => self.enter(run.start),
            Side::End if run.end < self.segments.len() => self.enter(run.end),
            Side::End | Side::Inside => {
                self.at = here.at;
                Err(self.gone())
            }
        }
    }

    /// Whether the place to begin with is inside of a run of compacted segments.
    pub(super) fn begins_inside_compacted(&mut self) -> Result<bool, ReadError> {
        let lsn = match self.from {
            From::Start => return Ok(false),
            From::Lsn(lsn) => lsn.get(),
            From::Position(position) => {
                let begins = |listed: &SegmentEntry| listed.first_position <= position.get();
                let index = self.segments.partition_point(begins);
                index.checked_sub(1).map_or(0, |index| self.segments[index].first_lsn)
            }
        };
        let Some((run, seal)) = self.compacted_run(lsn) else { return Ok(false) };
        Ok(matches!(self.side(&run, &seal, 0)?, Side::Inside))
    }

    /// The compacted segments that stand for the range in which a frame is, or right behind which.
    fn compacted_run(&self, lsn: u64) -> Option<(Range<usize>, SealEntry)> {
        let index =
            self.segments.partition_point(|listed| listed.first_lsn <= lsn).checked_sub(1)?;
        if !self.segments[index].compacted {
            return None;
        }
        let (mut begin, mut end) = (index, index + 1);
        while begin > 0 && self.segments[begin - 1].goes_on_in(&self.segments[begin]) {
            begin -= 1;
        }
        while end < self.segments.len() && self.segments[end - 1].goes_on_in(&self.segments[end]) {
            end += 1;
        }
        let seal = self.segments[end - 1].seal?;
        (lsn <= seal.last_lsn + 1).then_some((begin..end, seal))
    }

    /// Where the place is to go on from, if everything before `read_to` was read.
    fn side(
        &mut self,
        run: &Range<usize>,
        seal: &SealEntry,
        read_to: u64,
    ) -> Result<Side, ReadError> {
        let first = &self.segments[run.start];
        let (from_lsn, from_position) = match self.from {
            From::Start => (0, 0),
            From::Lsn(lsn) => (lsn.get(), 0),
            From::Position(position) => (0, position.get()),
        };
        let place = read_to.max(from_position);
        if place >= seal.end_position {
            return Ok(Side::End);
        }
        if from_lsn <= first.first_lsn {
            return Ok(if place <= first.first_position { Side::Begin } else { Side::Inside });
        }
        // Frames without records follow the last group, so its number is only in its frame.
        let is_behind = from_lsn > seal.last_lsn || from_lsn > self.last_lsn(run.end - 1)?;
        Ok(if is_behind { Side::End } else { Side::Inside })
    }

    /// The number of the last group in a compacted segment.
    fn last_lsn(&mut self, index: usize) -> Result<u64, ReadError> {
        self.enter(index)?;
        let end = self.segments[index].seal.map_or(SEGMENT_HEADER, |seal| seal.bytes);
        let mut lsn = 0;
        while self.at.offset < end {
            lsn = self.frame(u64::MAX)?.0.lsn;
        }
        Ok(lsn)
    }
}

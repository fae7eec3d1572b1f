//! When to normalize what: by dead share, in two tiers.
//!
//! The *base* is everything from the session's begin up to where it was normalized as a whole; it
//! holds what lives and no tombstone. The *young* tier is what follows. It is brought into normal
//! form by itself when enough of it may be dead, and merged with the base when enough of the two
//! together may be. "May be" is decided without reading: of a range that was looked at, everything
//! that was appended since counts as dead. So every byte is read and written a bounded number of
//! times, and what is on disk stays within a factor of what lives.
//!
//! Where a look has found too little, what was sealed since is tallied before the next one: insertions
//! are dead only if something takes them away, so that a history of nothing else is read once, and
//! nothing of it is folded.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use steadfast_journal::{Kept, Maintenance, NormalizeError, Normalized, Position, SegmentState};

use crate::normalize::{Normalizer, Survey};
use crate::tally::{Longest, Tally, Teller};

/// When normalizing is worth while, and how fast it may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// How much of a range must be dead, in percent from 1 to 99: 33 unless told otherwise. Lower
    /// shares keep less on disk and write more.
    pub dead_percent: u8,
    /// Bytes that a [step](Upkeep::step) reads and writes per second at most; 64 MiB unless told
    /// otherwise. Not kept to while the journal holds more than twice what makes normalizing worth
    /// while and a second's worth of bytes: whoever appends faster would fill the disk.
    pub bytes_per_second: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { dead_percent: 33, bytes_per_second: Some(64 << 20) }
    }
}

impl Policy {
    /// Bytes that a range must have grown to until enough of it may be dead, if so much of it lives.
    fn due_bytes(self, live_bytes: u64) -> u64 {
        let dead = u64::from(self.dead_percent.clamp(1, 99));
        live_bytes.saturating_mul(100) / (100 - dead)
    }

    /// The rate to keep to when so many bytes may be normalized, of which so many are known to live.
    fn rate(self, live_bytes: u64, bytes: u64) -> Option<u64> {
        let due = self.due_bytes(live_bytes);
        self.bytes_per_second.filter(|rate| bytes <= due.saturating_mul(2).saturating_add(*rate))
    }
}

/// A segment that is kept as it is, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SegmentKept {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Why it is kept.
    pub reason: Kept,
}

/// What is on disk, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// How many of them are compacted.
    pub compacted_segments: usize,
    /// How much of what was looked at was dead, in percent; what is younger counts as dead as far as nobody has
    /// seen that it cannot be.
    pub dead_percent_max: u8,
    /// The segments that are kept as they are.
    pub kept: Vec<SegmentKept>,
    /// How often segments were replaced since the journal was opened.
    pub normalizations: u64,
    /// Bytes of files that this has freed.
    pub freed_bytes: u64,
    /// The last thing that went wrong, in words; the journal is as it was.
    pub last_error: Option<String>,
}

/// Normalizes an open journal, a decision at a time.
#[derive(Debug)]
pub struct Upkeep {
    maintenance: Maintenance,
    policy: Policy,
    /// Where the base ends; `None` until it was looked at.
    base_end: Option<Position>,
    /// Facts in the base, if it was written since the journal was opened.
    base_facts: Option<u64>,
    /// What looks at the base and at the young tier have found, and where they ended.
    base: Option<(Position, Survey)>,
    young: Option<(Position, Survey)>,
    tallies: Tallies,
    normalizations: u64,
    freed_bytes: u64,
    last_error: Option<String>,
}

/// What may be dead in segments that no look has read.
#[derive(Debug, Default)]
struct Tallies {
    /// By the begin of what was tallied at once, mostly a segment.
    by_begin: BTreeMap<Position, Tally>,
    /// Up to where everything was tallied.
    end: Option<Position>,
    /// How long what can be taken away is at most in that.
    longest: Longest,
    /// The last look was worth while, so that a tally before the next one would be in vain.
    in_vain: bool,
}

impl Tallies {
    /// Bytes that may be dead because of what is in the segments from `begin` on.
    fn dead_max(&self, begin: Position) -> u64 {
        let (mut before, mut sum) = (Tally::default(), Tally::default());
        self.by_begin.range(..begin).for_each(|(_, tally)| before.add(*tally));
        self.by_begin.range(begin..).for_each(|(_, tally)| sum.add(*tally));
        sum.behind(&before).dead_max(self.longest)
    }

    /// Bytes of a segment that live as far as it can tell by itself, at least, if it was tallied.
    fn live_bytes(&self, segment: &SegmentState) -> Option<u64> {
        self.end.filter(|end| segment.begin < *end)?;
        let (_, tally) = self.by_begin.range(..=segment.begin).next_back()?;
        Some(segment.file_bytes.saturating_sub(tally.dead_max(self.longest)))
    }

    /// The same in percent.
    fn live_percent(&self, segment: &SegmentState) -> Option<u8> {
        let live = self.live_bytes(segment)?.saturating_mul(100) / segment.file_bytes.max(1);
        Some(u8::try_from(live).unwrap_or(100))
    }
}

/// The parts of a journal, by their segments.
struct Tiers {
    segments: Vec<SegmentState>,
    /// How many from the begin on may be normalized.
    ready: usize,
    /// How many of these are the base.
    base: usize,
}

impl Tiers {
    fn bytes(&self, range: Range<usize>) -> u64 {
        self.segments[range].iter().map(|segment| segment.file_bytes).sum()
    }

    /// The first segment behind a look; without one, the first that is not of the base.
    fn since(&self, look: Option<(Position, Survey)>) -> usize {
        let is_looked_at = |end: Position| {
            self.segments[..self.ready].partition_point(|segment| segment.begin < end)
        };
        look.map_or(self.base, |(end, _)| is_looked_at(end))
    }

    fn positions(&self, range: Range<usize>) -> Range<Position> {
        self.segments[range.start].begin..self.segments[range.end].begin
    }
}

impl Upkeep {
    /// For an open journal.
    #[must_use]
    pub fn new(maintenance: Maintenance, policy: Policy) -> Self {
        Self {
            maintenance,
            policy,
            base_end: None,
            base_facts: None,
            base: None,
            young: None,
            tallies: Tallies::default(),
            normalizations: 0,
            freed_bytes: 0,
            last_error: None,
        }
    }

    /// Does what the policy asks for now; `None` if there is nothing to do.
    ///
    /// # Errors
    ///
    /// As [`Maintenance::normalize`]; the journal is as it was.
    pub fn step(&mut self) -> Result<Option<Normalized>, NormalizeError> {
        let stepped = self.try_step();
        self.note(&stepped);
        stepped
    }

    fn try_step(&mut self) -> Result<Option<Normalized>, NormalizeError> {
        let tiers = self.tiers()?;
        let whole = 0..tiers.ready;
        let young = tiers.base..tiers.ready;
        if young.is_empty() || tiers.segments[young.clone()].iter().all(|segment| segment.compacted)
        {
            return Ok(None); // Nothing was sealed since.
        }
        let base_live =
            self.base.map_or(tiers.bytes(0..tiers.base), |(_, survey)| survey.live_bytes);
        let young_live = self.young.map_or(0, |(_, survey)| survey.live_bytes);
        let bytes = tiers.bytes(whole.clone());
        let rate = self.policy.rate(base_live + young_live, bytes);
        if self.is_due(&tiers, whole, (self.base, base_live), rate)? {
            return self.merge(&tiers, self.policy.dead_percent, rate);
        }
        if tiers.base == 0 {
            return Ok(None); // What was looked at is too live, and there is nothing before it.
        }
        if !self.is_due(&tiers, young.clone(), (self.young, young_live), rate)? {
            return Ok(None);
        }
        let mut normalizer = Normalizer::new(false, self.policy.dead_percent);
        let range = tiers.positions(young.clone());
        let done = self.run(range.clone(), &mut normalizer, rate)?;
        let survey = normalizer.survey().unwrap_or_default();
        self.young = Some((range.end, survey));
        self.tallies.in_vain = done.is_some();
        // Many facts of the base may be gone although few bytes say so.
        let gone = survey.older_facts.saturating_mul(100);
        let dead = u64::from(self.policy.dead_percent);
        if self.base_facts.is_some_and(|facts| facts > 0 && gone / facts >= dead) {
            let tiers = self.tiers()?;
            return Ok(self.merge(&tiers, self.policy.dead_percent, rate)?.or(done));
        }
        Ok(done)
    }

    /// Whether enough of a range may be dead, given what the last look at it has found to live.
    fn is_due(
        &mut self,
        tiers: &Tiers,
        range: Range<usize>,
        (look, live_bytes): (Option<(Position, Survey)>, u64),
        rate: Option<u64>,
    ) -> Result<bool, NormalizeError> {
        let bytes = tiers.bytes(range.clone());
        if bytes < self.policy.due_bytes(live_bytes) {
            return Ok(false);
        }
        if self.tallies.in_vain || !self.tally(tiers, rate)? {
            return Ok(true);
        }
        let since = tiers.since(look);
        let dead = self.tallies.dead_max(tiers.segments[since].begin);
        let live = (live_bytes + tiers.bytes(since..range.end)).saturating_sub(dead);
        Ok(bytes >= self.policy.due_bytes(live.max(live_bytes)))
    }

    /// Tallies what was sealed since the last time; `false` if that does not go up to the end.
    fn tally(&mut self, tiers: &Tiers, rate: Option<u64>) -> Result<bool, NormalizeError> {
        let begin_of = |at: usize| tiers.segments[at].begin;
        let is_done = |at: &usize| self.tallies.end.is_some_and(|end| begin_of(*at) < end);
        let mut from = (0..tiers.ready).take_while(is_done).count();
        let mut to = from + 1;
        while to <= tiers.ready {
            let mut teller = Teller::default();
            match self.maintenance.normalize(tiers.positions(from..to), &mut teller, rate) {
                Ok(_) => {
                    let (tally, longest) = teller.tally();
                    self.tallies.by_begin.insert(begin_of(from), tally);
                    self.tallies.longest.add(longest);
                    self.tallies.end = Some(begin_of(to));
                    (from, to) = (to, to + 1);
                }
                // A group goes on in the next segment.
                Err(NormalizeError::NoSuchRange { .. }) => to += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(from == tiers.ready)
    }

    /// Normalizes everything that may be, whatever its dead share, as fast as it goes.
    ///
    /// # Errors
    ///
    /// As [`Maintenance::normalize`]; the journal is as it was.
    pub fn normalize_all(&mut self) -> Result<Option<Normalized>, NormalizeError> {
        let tiers = self.tiers();
        let merged = tiers.and_then(|tiers| match tiers.ready {
            0 => Ok(None),
            // Somebody waits for it: at no rate.
            _ => self.merge(&tiers, 1, None),
        });
        self.note(&merged);
        merged
    }

    /// Makes everything that may be normalized the base.
    fn merge(
        &mut self,
        tiers: &Tiers,
        dead_percent: u8,
        rate: Option<u64>,
    ) -> Result<Option<Normalized>, NormalizeError> {
        let mut normalizer = Normalizer::new(true, dead_percent);
        let range = tiers.positions(0..tiers.ready);
        let done = self.run(range.clone(), &mut normalizer, rate)?;
        let survey = normalizer.survey().unwrap_or_default();
        self.base = Some((range.end, survey));
        self.tallies.in_vain = done.is_some();
        self.tallies.by_begin = self.tallies.by_begin.split_off(&range.end);
        if done.is_some() {
            self.base_end = Some(range.end);
            self.base_facts = Some(survey.facts);
            self.young = None;
        }
        Ok(done)
    }

    fn run(
        &self,
        range: Range<Position>,
        normalizer: &mut Normalizer,
        rate: Option<u64>,
    ) -> Result<Option<Normalized>, NormalizeError> {
        let done = self.maintenance.normalize(range, normalizer, rate)?;
        Ok((done.bytes_after < done.bytes_before).then_some(done))
    }

    /// Notes what keeps others from calling [`step`](Self::step), for the status.
    pub fn fail(&mut self, error: &dyn std::error::Error) {
        self.last_error = Some(describe(error));
    }

    fn note(&mut self, stepped: &Result<Option<Normalized>, NormalizeError>) {
        match stepped {
            Ok(Some(done)) => {
                self.normalizations += 1;
                self.freed_bytes += done.bytes_before - done.bytes_after;
                self.last_error = None;
            }
            Ok(None) | Err(NormalizeError::Closed) => {}
            Err(error) => self.last_error = Some(describe(error)),
        }
    }

    fn tiers(&self) -> Result<Tiers, NormalizeError> {
        let segments = self.maintenance.segments()?;
        let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
        let in_base = |segment: &&SegmentState| match self.base_end {
            Some(end) => segment.begin < end,
            None => segment.compacted,
        };
        let base = segments[..ready].iter().take_while(in_base).count();
        Ok(Tiers { segments, ready, base })
    }

    /// What is on disk, and why each segment is kept that is.
    ///
    /// # Errors
    ///
    /// As [`Maintenance::segments`].
    pub fn status(&self) -> Result<Status, NormalizeError> {
        let tiers = self.tiers()?;
        let all = 0..tiers.segments.len();
        let bytes = tiers.bytes(all.clone());
        let tallied = &tiers.segments[tiers.since(self.young.or(self.base))..];
        let live = self.base.map_or(0, |(_, survey)| survey.live_bytes)
            + self.young.map_or(0, |(_, survey)| survey.live_bytes)
            + tallied.iter().filter_map(|segment| self.tallies.live_bytes(segment)).sum::<u64>();
        let dead = bytes.saturating_sub(live).saturating_mul(100) / bytes.max(1);
        let kept = tiers.segments.iter().filter_map(|segment| {
            let reason = segment.kept.clone().or_else(|| self.too_live(segment))?;
            Some(SegmentKept { file: segment.file.clone(), bytes: segment.file_bytes, reason })
        });
        Ok(Status {
            bytes,
            segments: all.len(),
            compacted_segments: tiers.segments.iter().filter(|segment| segment.compacted).count(),
            dead_percent_max: u8::try_from(dead).unwrap_or(100),
            kept: kept.collect(),
            normalizations: self.normalizations,
            freed_bytes: self.freed_bytes,
            last_error: self.last_error.clone(),
        })
    }

    /// A segment that was looked at and stays as it is.
    fn too_live(&self, segment: &SegmentState) -> Option<Kept> {
        if segment.compacted {
            return Some(Kept::TooLive { live_percent: 100 });
        }
        let looks = [self.young, self.base];
        let look = looks.into_iter().flatten().find(|(end, _)| segment.begin < *end);
        let live_percent = match look {
            Some((_, survey)) => survey.live_percent(),
            None => self.tallies.live_percent(segment)?,
        };
        Some(Kept::TooLive { live_percent })
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}

impl fmt::Display for SegmentKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} bytes): {}", self.file.display(), self.bytes, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_to_until_the_journal_grows_because_of_it() {
        let policy = Policy { dead_percent: 50, bytes_per_second: Some(1000) };
        // Worth while from 200 bytes on; behind beyond 400 and a second's 1000.
        assert_eq!(policy.rate(100, 0), Some(1000));
        assert_eq!(policy.rate(100, 1400), Some(1000));
        assert_eq!(policy.rate(100, 1401), None);
        assert_eq!(policy.rate(0, 1001), None, "nothing is known to live");
        let unlimited = Policy { bytes_per_second: None, ..policy };
        assert_eq!(unlimited.rate(100, 0), None);
        let largest = Policy { bytes_per_second: Some(u64::MAX), ..policy };
        assert_eq!(largest.rate(u64::MAX, u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn what_is_due_follows_from_the_share_that_must_be_dead() {
        let due = |dead_percent, live| Policy { dead_percent, ..Policy::default() }.due_bytes(live);
        assert_eq!([due(33, 670), due(50, 670), due(99, 670)], [1000, 1340, 67_000]);
        assert_eq!([due(0, 990), due(200, 990)], [1000, 99_000], "1 to 99");
    }
}

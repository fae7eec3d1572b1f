//! An image as records: the way into a snapshot and out of it.

use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, FactHandle, MatchId, Record, SafePoint, Seq, TypeTag};

use super::{Effect, Fact, Image, StagedOperation};
use crate::error::RecordsError;

impl Image {
    /// Folds records in that lie one behind the other as [`v1::encode`] writes them; gives how many they were.
    ///
    /// # Errors
    ///
    /// [`RecordsError`] says which one was refused; those before it are folded in.
    pub fn apply_all(&mut self, records: &[u8]) -> Result<usize, RecordsError> {
        let (mut rest, mut index) = (records, 0);
        while !rest.is_empty() {
            let (record, after) =
                v1::decode(rest).map_err(|source| RecordsError::Decode { index, source })?;
            self.apply(&record).map_err(|source| RecordsError::Contradiction { index, source })?;
            (rest, index) = (after, index + 1);
        }
        Ok(index)
    }

    /// Gives the records that fold to this image: as short a history as there is. It ends with the image's commit.
    ///
    /// It takes an image at a commit boundary ([`Image::is_at_boundary`]); what is behind one is not in it.
    ///
    /// # Errors
    ///
    /// What `take` gives back.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_snapshotter::Image;
    /// use steadfast_wm::codec::v1;
    /// use steadfast_wm::{CommitSeq, Counters, Record, SafePoint, TypeTag};
    ///
    /// let mut image = Image::default();
    /// image.apply(&Record::Type { tag: TypeTag::new(0), name: "Order" })?;
    /// let (commit, point) = (CommitSeq::new(1), SafePoint::Evaluated);
    /// image.apply(&Record::Commit { commit, point, counters: Counters::default() })?;
    ///
    /// let mut bytes = Vec::new();
    /// image.records(|record| Ok::<_, std::convert::Infallible>(v1::encode(record, &mut bytes))).unwrap();
    /// let mut copy = Image::default();
    /// copy.apply_all(&bytes)?;
    /// assert_eq!(copy, image);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn records<E>(&self, mut take: impl FnMut(&Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(point) = self.point else { return Ok(()) };
        for (tag, name) in (0..).map(TypeTag::new).zip(&self.types) {
            take(&Record::Type { tag, name })?;
        }
        if let Some(manifest) = &self.manifest {
            take(&Record::Ruleset { seq: Seq::new(0), manifest: manifest.clone() })?;
        }
        let mut commits = Commits { last: CommitSeq::new(0), image: self, point };
        commits.earlier(&mut take)?;
        self.facts_as_records(&mut take)?;
        self.agenda_as_records(&mut take)?;
        for (name, (version, bytes)) in &self.globals {
            let (version, seq) = (*version, Seq::new(0));
            take(&Record::SetGlobal { name, version, bytes, seq })?;
        }
        if self.clock != 0 {
            take(&Record::Clock { millis: self.clock, seq: Seq::new(0) })?;
        }
        commits.put(self.commit, &mut take)
    }

    /// Facts, what was done since the last flush, and supports.
    fn facts_as_records<E>(
        &self,
        take: &mut impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (handle, fact) in self.facts.sorted() {
            take(&fact.as_record(handle))?;
        }
        if self.evaluated {
            take(&Record::Evaluated)?;
        }
        let supports = |handle: FactHandle, take: &mut dyn FnMut(&Record<'_>) -> Result<(), E>| {
            let matches = self.justifications.get(&handle).into_iter().flatten();
            matches.cloned().try_for_each(|by| take(&Record::Justify { handle, by }))
        };
        // While they live: a staged deletion ends that, and only the next flush takes the supports away.
        for &handle in self.justifications.keys().filter(|&&handle| self.facts.contains(handle)) {
            supports(handle, take)?;
        }
        for operation in &self.staged {
            take(&operation.as_record())?;
            if let StagedOperation::Insert { handle, .. } = operation {
                supports(*handle, take)?;
            }
        }
        Ok(())
    }

    fn agenda_as_records<E>(
        &self,
        take: &mut impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let own = |by: &MatchId| by.clone();
        for (by, (salience, trigger)) in &self.pending {
            take(&Record::Pending { by: own(by), salience: *salience, trigger: *trigger })?;
        }
        for (by, due) in &self.waiting {
            take(&Record::Due { by: own(by), at: Some(*due) })?;
        }
        if !self.focus.is_empty() {
            take(&Record::Focus { groups: self.focus.iter().map(String::as_str).collect() })?;
        }
        for (group, marks) in &self.group_marks {
            let (active, activated, cleared) = (marks.active, marks.activated, marks.cleared);
            take(&Record::GroupMarks { group, active, activated, cleared })?;
        }
        Ok(())
    }
}

/// The commits of which effects wait, and the last one.
struct Commits<'a> {
    image: &'a Image,
    point: SafePoint,
    /// The last one that was given.
    last: CommitSeq,
}

impl Commits<'_> {
    fn earlier<E>(&mut self, take: &mut impl FnMut(&Record<'_>) -> Result<(), E>) -> Result<(), E> {
        let waiting = self.image.outbox.keys().map(|(commit, _)| *commit);
        for commit in waiting.filter(|&commit| commit < self.image.commit) {
            if commit > self.last {
                self.put(commit, take)?;
            }
        }
        Ok(())
    }

    fn put<E>(
        &mut self,
        commit: CommitSeq,
        take: &mut impl FnMut(&Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let through = CommitSeq::new(commit.get().saturating_sub(1));
        if through > self.last {
            take(&Record::Folded { through })?;
        }
        for ((_, ordinal), effect) in self.image.outbox.range((commit, 0)..=(commit, u32::MAX)) {
            let Effect { topic, version, bytes } = effect;
            let (ordinal, version) = (*ordinal, *version);
            take(&Record::Effect { ordinal, topic, version, bytes })?;
        }
        self.last = commit;
        take(&Record::Commit { commit, point: self.point, counters: self.image.counters })
    }
}

impl Fact {
    fn as_record(&self, handle: FactHandle) -> Record<'_> {
        let Self { kind, version, bytes, seq, origin, stated, clock } = self;
        Record::Insert {
            handle,
            kind: *kind,
            version: *version,
            bytes,
            seq: *seq,
            origin: *origin,
            stated: *stated,
            clock: *clock,
        }
    }
}

impl StagedOperation {
    fn as_record(&self) -> Record<'_> {
        match self {
            Self::Insert { handle, fact } => fact.as_record(*handle),
            Self::Update { handle, version, bytes, mask, seq, origin } => Record::Update {
                handle: *handle,
                version: *version,
                bytes,
                mask: *mask,
                seq: *seq,
                origin: *origin,
            },
            // Whether truth maintenance did it matters to nobody but a reader of the journal.
            Self::Delete { handle, seq, origin } => {
                Record::Delete { handle: *handle, seq: *seq, origin: *origin, cascade: false }
            }
            Self::Stated { handle, stated, seq } => {
                Record::Stated { handle: *handle, stated: *stated, seq: *seq }
            }
        }
    }
}

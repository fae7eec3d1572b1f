//! The meaning of records, for the journal that is normalized.

use steadfast_journal::{Group, Lsn, Normalize, NormalizeError, Refusal, Survivors};
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Digest, SafePoint};

use crate::error::NormalFormError;
use crate::image::Image;
use crate::normal::NormalForm;
use crate::records::each;

/// What a look at a range has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// Bytes of the range's groups.
    pub bytes: u64,
    /// Bytes of what would remain, about.
    pub live_bytes: u64,
    /// Facts that the range inserts and that live at its end.
    pub facts: u64,
    /// Facts older than the range that it changes or deletes.
    pub older_facts: u64,
}

impl Survey {
    /// How much would remain, in percent.
    #[must_use]
    pub fn live_percent(&self) -> u8 {
        let percent = self.live_bytes.saturating_mul(100) / self.bytes.max(1);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

/// What a state is compared by.
type Fingerprint = (Digest, CommitSeq, Option<SafePoint>);

/// Brings a range of groups into its normal form (INV-74): made for one range, for
/// [`Maintenance::normalize`](steadfast_journal::Maintenance::normalize).
///
/// What was written is compared with what it replaces: both are folded onto the smallest image that
/// the range presupposes, and must give the same digest.
#[derive(Debug)]
pub struct Normalizer {
    form: NormalForm,
    dead_percent: u8,
    survey: Option<Survey>,
    image: Option<Image>,
    expected: Option<Fingerprint>,
}

impl Normalizer {
    /// For one range. `whole` says that it begins with the session: nothing before it is referred
    /// to, and no tombstone remains. It is worth while if at least `dead_percent` of it is dead.
    #[must_use]
    pub fn new(whole: bool, dead_percent: u8) -> Self {
        let form = NormalForm::new(whole);
        Self { form, dead_percent, survey: None, image: None, expected: None }
    }

    /// What was found; `None` if the range was not read to its end.
    #[must_use]
    pub fn survey(&self) -> Option<Survey> {
        self.survey
    }

    fn fold(&mut self, group: &Group<'_>) -> Result<(), NormalFormError> {
        let premise = || self.form.premise();
        let image = self.image.get_or_insert_with(premise);
        Ok(each(group, |record, _| image.apply(record))?)
    }

    fn fingerprint(&mut self) -> Fingerprint {
        let premise = || self.form.premise();
        let image = self.image.take().unwrap_or_else(premise);
        (image.digest(), image.commit(), image.point())
    }
}

/// The normal form of a range of records, without a journal: their bytes, one behind the other.
/// `whole` says that the range begins with the session. It ends with a commit.
///
/// # Errors
///
/// What [`v1::decode`] says of bytes that are no records, and a [`FoldError`](crate::FoldError) for commits out of
/// order; other contradictions are found by whoever folds.
pub fn normal_form(records: &[u8], whole: bool) -> Result<Vec<u8>, Refusal> {
    let mut form = NormalForm::new(whole);
    let mut rest = records;
    while !rest.is_empty() {
        let (record, after) = v1::decode(rest)?;
        form.apply(0, &record, &rest[..rest.len() - after.len()])?;
        rest = after;
    }
    let mut bytes = Vec::new();
    form.write(|_, encode| {
        encode(&mut bytes);
        Ok::<_, Refusal>(())
    })?;
    Ok(bytes)
}

impl Normalize for Normalizer {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        let (form, lsn) = (&mut self.form, group.lsn().get());
        if form.is_whole() {
            // Nothing is presupposed, so that one reading serves for the comparison as well.
            let image = self.image.get_or_insert_default();
            each(group, |record, bytes| {
                image.apply(record)?;
                form.apply(lsn, record, bytes)
            })?;
        } else {
            each(group, |record, bytes| form.apply(lsn, record, bytes))?;
        }
        Ok(())
    }

    fn is_worth(&mut self, bytes: u64) -> bool {
        let (facts, older_facts) = self.form.count_facts();
        let live_bytes = self.form.bytes();
        let survey = Survey { bytes, live_bytes, facts, older_facts };
        self.survey = Some(survey);
        let dead_percent = 100_u8.saturating_sub(survey.live_percent());
        self.form.is_complete() && dead_percent >= self.dead_percent.max(1)
    }

    fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
        if self.form.is_whole() {
            self.expected = Some(self.fingerprint());
        }
        self.form.write(|lsn, encode| survivors.push(Lsn::new(lsn), encode))
    }

    fn reads_twice(&self) -> bool {
        !self.form.is_whole()
    }

    fn compare_old(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        Ok(self.fold(group)?)
    }

    fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        if self.expected.is_none() {
            self.expected = Some(self.fingerprint());
        }
        Ok(self.fold(group)?)
    }

    fn verdict(&mut self) -> Result<(), Refusal> {
        let found = self.fingerprint();
        match self.expected {
            Some(expected) if expected == found => Ok(()),
            expected => {
                let expected = expected.map(|(digest, ..)| digest).unwrap_or_default();
                Err(Box::new(NormalFormError::Differs { expected, found: found.0 }))
            }
        }
    }
}

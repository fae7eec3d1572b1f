//! Two meanings that records can have, for tests of normalization.

use std::collections::BTreeMap;

use steadfast_journal::{Group, Lsn, Normalize, NormalizeError, Refusal, Survivors};

/// Everything remains.
#[derive(Debug, Default)]
pub(crate) struct Verbatim {
    records: Vec<(Lsn, Vec<u8>)>,
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
}

fn bytes_of(group: &Group<'_>) -> Vec<Vec<u8>> {
    group.records().map(|record| record.bytes().to_vec()).collect()
}

impl Normalize for Verbatim {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        self.records.extend(bytes_of(group).into_iter().map(|bytes| (group.lsn(), bytes)));
        Ok(())
    }

    fn is_worth(&mut self, _bytes: u64) -> bool {
        true
    }

    fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
        for (lsn, bytes) in &self.records {
            survivors.push(*lsn, |buffer| buffer.extend_from_slice(bytes))?;
        }
        Ok(())
    }

    fn compare_old(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        self.old.extend(bytes_of(group));
        Ok(())
    }

    fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        self.new.extend(bytes_of(group));
        Ok(())
    }

    fn verdict(&mut self) -> Result<(), Refusal> {
        if self.old == self.new { Ok(()) } else { Err("they differ".into()) }
    }
}

/// Values by key: a record is a key of one byte and a value, and only the last of each key matters.
pub(crate) type Values = BTreeMap<u8, Vec<u8>>;

/// The value that takes a key away; of a run that begins with the journal nothing remains of it.
pub(crate) const GONE: &[u8] = b"\0gone";

/// The last value of each key remains, where it came.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    number: usize,
    last: BTreeMap<u8, (usize, Lsn, Vec<u8>)>,
    old: Values,
    new: Values,
    /// Forgets a value: what a comparison must find.
    forgets: bool,
}

impl Keyed {
    pub(crate) fn that_forgets() -> Self {
        Self { forgets: true, ..Self::default() }
    }
}

/// Takes a group into the values.
pub(crate) fn fold(values: &mut Values, group: &Group<'_>) {
    for record in group.records() {
        let (key, value) = record.payload().split_first().expect("a record has a key");
        if value == GONE {
            values.remove(key);
        } else {
            values.insert(*key, value.to_vec());
        }
    }
}

impl Normalize for Keyed {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        for record in group.records() {
            let key = record.payload()[0];
            self.number += 1;
            self.last.insert(key, (self.number, group.lsn(), record.bytes().to_vec()));
        }
        Ok(())
    }

    fn is_worth(&mut self, _bytes: u64) -> bool {
        true
    }

    fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
        let is_there = |(.., bytes): &&(usize, Lsn, Vec<u8>)| !bytes.ends_with(GONE);
        let mut last: Vec<_> = self.last.values().filter(is_there).collect();
        last.sort();
        let skipped = usize::from(self.forgets);
        for (_, lsn, bytes) in last.into_iter().skip(skipped) {
            survivors.push(*lsn, |buffer| buffer.extend_from_slice(bytes))?;
        }
        Ok(())
    }

    fn compare_old(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        fold(&mut self.old, group);
        Ok(())
    }

    fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        fold(&mut self.new, group);
        Ok(())
    }

    fn verdict(&mut self) -> Result<(), Refusal> {
        if self.old == self.new { Ok(()) } else { Err("they differ".into()) }
    }
}

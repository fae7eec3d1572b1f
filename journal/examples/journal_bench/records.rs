//! The records that are measured with: they name themselves, so that reading back can be checked.

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 100;
/// Records of a batch unless a row says otherwise.
pub(crate) const BATCH_RECORDS: usize = 10;

/// Writes record `number` of a stream: two numbers, and a filling that follows from them.
pub(crate) fn fill(stream: u64, number: u64, record: &mut [u8]) {
    record[..8].copy_from_slice(&stream.to_le_bytes());
    record[8..16].copy_from_slice(&number.to_le_bytes());
    let mut word = (stream << 48) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in record[16..].chunks_mut(8) {
        word = word.rotate_left(7) ^ number;
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// Records `first` to `first + count` of a stream, one behind the other.
pub(crate) fn make(stream: u64, first: u64, count: u64, bytes: usize) -> Vec<u8> {
    let mut records = vec![0; usize::try_from(count).expect("fits into memory") * bytes];
    for (number, record) in (first..).zip(records.chunks_mut(bytes)) {
        fill(stream, number, record);
    }
    records
}

/// Checks records as they are read back: each stream's in order, without a hole, unchanged.
pub(crate) struct Checker {
    next: Vec<u64>,
    expected: Vec<u8>,
}

impl Checker {
    pub(crate) fn new(streams: usize) -> Self {
        Self { next: vec![0; streams], expected: Vec::new() }
    }

    pub(crate) fn see(&mut self, record: &[u8]) -> Result<(), String> {
        let stream = record.get(..8).and_then(|bytes| bytes.try_into().ok());
        let stream = stream.map(u64::from_le_bytes).ok_or("a record is cut short")?;
        let index = usize::try_from(stream).map_err(|_| "a record of no stream")?;
        let next = self.next.get_mut(index).ok_or("a record of no stream")?;
        self.expected.resize(record.len(), 0);
        fill(stream, *next, &mut self.expected);
        if record != self.expected {
            return Err(format!("record {next} of stream {stream} is not what was written"));
        }
        *next += 1;
        Ok(())
    }

    /// The counts of all streams must be these.
    pub(crate) fn finish(&self, counts: &[u64]) -> Result<(), String> {
        if self.next == counts {
            Ok(())
        } else {
            Err(format!("read back {:?} records, wrote {counts:?}", self.next))
        }
    }
}

//! What the contenders have in common.

use std::error::Error;

/// Something that appends batches of records of one length.
pub(crate) trait Contender: Sync {
    /// Appends a batch; returns once it is durable.
    fn append_durable(&self, records: &[u8], record_bytes: usize) -> Result<(), Box<dyn Error>>;

    /// Reads everything back, in order.
    fn read_back(
        &self,
        see: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Box<dyn Error>>;
}

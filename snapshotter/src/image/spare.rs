//! Memory of values that are gone, for those that come.

/// How many values are kept at most: those that the operations of a few flushes leave behind.
const SPARES_MAX: usize = 64;

/// Boxes of values that were overwritten or deleted. Most values of a session have one of few
/// lengths, so that the next one often fits, and nothing is allocated for it.
///
/// It is no part of the image: a copy begins without, and all are equal.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Box<[u8]>>);

impl Spare {
    /// A box with these bytes.
    #[inline]
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Box<[u8]> {
        match self.0.pop() {
            Some(mut spare) if spare.len() == bytes.len() => {
                spare.copy_from_slice(bytes);
                spare
            }
            _ => bytes.into(),
        }
    }

    /// Takes in a box that nobody needs any more.
    #[inline]
    pub(super) fn keep(&mut self, spare: Box<[u8]>) {
        if self.0.len() < SPARES_MAX {
            self.0.push(spare);
        }
    }
}

impl Clone for Spare {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Spare {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spare {}

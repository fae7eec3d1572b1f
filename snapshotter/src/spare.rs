//! Memory of values that are gone, for those that come.

/// How many values are kept at most: those that the operations of a few flushes leave behind.
const SPARES_MAX: usize = 64;

/// So many of them are looked at for one that fits.
const LOOKS: usize = 4;

/// Boxes of values that were overwritten or deleted. Most values of a session have one of few
/// lengths, so that the next one often fits, and nothing is allocated for it.
///
/// It is no part of what it serves: a copy begins without, and all are equal.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Box<[u8]>>);

impl Spare {
    /// A box with these bytes.
    #[inline]
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> Box<[u8]> {
        let last = self.0.len().saturating_sub(LOOKS);
        let fits = self.0[last..].iter().rposition(|spare| spare.len() == bytes.len());
        if let Some(at) = fits {
            let mut spare = self.0.swap_remove(last + at);
            spare.copy_from_slice(bytes);
            return spare;
        }
        // One that fits nothing must not stay for ever.
        drop(self.0.pop());
        bytes.into()
    }

    /// Takes in a box that nobody needs any more.
    #[inline]
    pub(crate) fn keep(&mut self, spare: Box<[u8]>) {
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

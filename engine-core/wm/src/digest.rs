//! Digests: 128 bits that stand for a state, equal on every machine.

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

/// 128-bit digest (xxh3) of a state, of bytes or of tokens.
///
/// Equal states have equal digests on every machine and in every build. It guards against
/// divergence and damage, not against an adversary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Wraps the 16 bytes, least significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, least significant first.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Digest of one string of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes).to_le_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Builds a [`Digest`] from a canonical walk over a state.
///
/// Every value is fed with its length or in a fixed width, so that two different walks cannot give
/// the same bytes by concatenation.
#[derive(Clone, Default)]
pub struct Digester(Xxh3Default);

impl Digester {
    /// A digester that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds a number, 8 bytes little endian.
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Feeds bytes, preceded by their count.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Feeds a section's name, so that an empty section differs from a missing one.
    pub fn section(&mut self, name: &str) {
        self.bytes(name.as_bytes());
    }

    /// The digest of everything fed so far.
    pub fn finish(&self) -> Digest {
        Digest(self.0.digest128().to_le_bytes())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({})", self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_keep_neighbors_apart() {
        let digest = |parts: &[&[u8]]| {
            let mut digester = Digester::new();
            parts.iter().for_each(|part| digester.bytes(part));
            digester.finish()
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }

    #[test]
    fn digests_are_stable_across_builds() {
        assert_eq!(Digest::of(b"steadfast").to_string(), Digest::of(b"steadfast").to_string());
        assert_eq!(Digest::of(b"").to_string(), "99aa06d3014798d86001c324468d497f");
    }
}

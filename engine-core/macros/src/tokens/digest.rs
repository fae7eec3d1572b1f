//! Digests of what a rule says.

use proc_macro2::TokenStream;
use xxhash_rust::xxh3::xxh3_128;

use super::atoms::atoms;

/// Collects what belongs to a digest. Everything is fed with its length, so that two different
/// walks never give the same bytes.
#[derive(Default)]
pub(crate) struct Digester {
    bytes: Vec<u8>,
}

impl Digester {
    /// A digester of one kind of thing. `kind` ends in a version: another way to feed it is another
    /// kind.
    pub(crate) fn new(kind: &str) -> Self {
        let mut digester = Self::default();
        digester.word(kind);
        digester
    }

    /// Feeds a word.
    pub(crate) fn word(&mut self, word: &str) {
        self.count(word.len());
        self.bytes.extend_from_slice(word.as_bytes());
    }

    /// Feeds a number of things.
    pub(crate) fn count(&mut self, count: usize) {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    /// Feeds tokens in their canonical spelling.
    pub(crate) fn tokens(&mut self, tokens: TokenStream) {
        let atoms = atoms(tokens);
        self.count(atoms.len());
        for atom in &atoms {
            self.word(atom.as_str());
        }
    }

    /// The digest, least significant byte first.
    pub(crate) fn finish(&self) -> [u8; 16] {
        xxh3_128(&self.bytes).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(source: &str) -> [u8; 16] {
        let mut digester = Digester::new("test 1");
        digester.tokens(source.parse().expect("tokens"));
        digester.finish()
    }

    #[test]
    fn spacing_and_comments_do_not_matter() {
        assert_eq!(digest("a==b"), digest("a /* or not */\n == b"));
        assert_ne!(digest("a == b"), digest("a != b"));
    }

    #[test]
    fn neighbors_are_kept_apart() {
        assert_ne!(digest("ab c"), digest("a bc"));
        assert_ne!(digest("\"a\" \"b\""), digest("\"a\\\" \\\"b\""));
    }

    #[test]
    fn digests_are_the_same_in_every_build() {
        let number = u128::from_be_bytes(digest("a == b"));
        assert_eq!(number, 0xd5ff_7c62_4588_bc3f_05bb_4467_b3b5_925b);
    }
}

//! The digest of an image: one walk over everything that it holds, in its order.

use serde::Serialize;
use steadfast_wm::codec::v1;
use steadfast_wm::{Digest, Digester, RuleTag};

use super::{Fact, Image, StagedOperation};

impl Image {
    /// Digest of the image: equal for histories that fold to the same state.
    ///
    /// Which commit the image stands for is not in it: what a commit did is.
    pub fn digest(&self) -> Digest {
        let mut walk = Walk::default();
        walk.section("types", self.types.len());
        self.types.iter().for_each(|name| walk.bytes(name.as_bytes()));
        walk.section("manifest", usize::from(self.manifest.is_some()));
        walk.value(&self.manifest);
        walk.section("facts", self.facts.len());
        for (handle, fact) in self.facts.sorted() {
            walk.number(handle.get());
            walk.fact(fact);
        }
        walk.section("staged", self.staged.len());
        self.staged.iter().for_each(|operation| walk.staged(operation));
        walk.section("pending", self.pending.len());
        self.pending.iter().for_each(|pending| walk.value(&pending));
        walk.section("waiting", self.waiting.len());
        self.waiting.iter().for_each(|waiting| walk.value(&waiting));
        walk.section("focus", self.focus.len());
        self.focus.iter().for_each(|group| walk.bytes(group.as_bytes()));
        walk.section("groups", self.group_marks.len());
        for (group, marks) in &self.group_marks {
            walk.bytes(group.as_bytes());
            walk.value(&(marks.active, marks.activated, marks.cleared));
        }
        walk.section("justifications", self.justifications.len());
        self.justifications.iter().for_each(|supports| walk.value(&supports));
        walk.section("globals", self.globals.len());
        for (name, (version, bytes)) in &self.globals {
            walk.bytes(name.as_bytes());
            walk.number(u64::from(*version));
            walk.bytes(bytes);
        }
        walk.section("outbox", self.outbox.len());
        for ((commit, ordinal), effect) in &self.outbox {
            walk.number(commit.get());
            walk.number(u64::from(*ordinal));
            walk.bytes(effect.topic.as_bytes());
            walk.number(u64::from(effect.version));
            walk.bytes(&effect.bytes);
        }
        walk.section("session", 0);
        walk.value(&(self.clock, self.evaluated, self.counters));
        walk.digester.finish()
    }
}

/// A digester and the memory to put values into.
#[derive(Default)]
struct Walk {
    digester: Digester,
    scratch: Vec<u8>,
}

impl Walk {
    fn section(&mut self, name: &str, count: usize) {
        self.digester.section(name);
        self.number(count as u64);
    }

    fn number(&mut self, number: u64) {
        self.digester.number(number);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.digester.bytes(bytes);
    }

    /// A value by its postcard bytes.
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        self.scratch.clear();
        v1::append_postcard(value, &mut self.scratch)
            .expect("the vocabulary's types have no fallible parts");
        self.digester.bytes(&self.scratch);
    }

    fn origin(&mut self, origin: Option<RuleTag>) {
        self.number(origin.map_or(0, |rule| u64::from(rule.get()) + 1));
    }

    fn fact(&mut self, fact: &Fact) {
        let Fact { kind, version, bytes, seq, origin, stated, clock } = fact;
        self.number(u64::from(kind.get()));
        self.number(u64::from(*version));
        self.bytes(bytes);
        self.number(seq.get());
        self.origin(*origin);
        self.number(u64::from(*stated));
        self.number(u64::from_le_bytes(clock.to_le_bytes()));
    }

    fn staged(&mut self, operation: &StagedOperation) {
        match operation {
            StagedOperation::Insert { handle, fact } => {
                self.number(1);
                self.number(handle.get());
                self.fact(fact);
            }
            StagedOperation::Update { handle, version, bytes, mask, seq, origin } => {
                self.number(2);
                self.number(handle.get());
                self.number(u64::from(*version));
                self.bytes(bytes);
                self.number(*mask);
                self.number(seq.get());
                self.origin(*origin);
            }
            StagedOperation::Delete { handle, seq, origin } => {
                self.number(3);
                self.number(handle.get());
                self.number(seq.get());
                self.origin(*origin);
            }
            StagedOperation::Stated { handle, stated, seq } => {
                self.number(4);
                self.number(handle.get());
                self.number(u64::from(*stated));
                self.number(seq.get());
            }
        }
    }
}

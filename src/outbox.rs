//! The outbox: effects that have left the rules and wait for their acknowledgement.

use std::collections::BTreeMap;
use std::ops::Deref;

use steadfast_engine_core::Effect;
use steadfast_snapshotter::Image;
use steadfast_wm::{CommitSeq, EffectKey, SessionId};

use crate::error::{Error, Result};

/// An effect of the commit that is being built.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) ordinal: u32,
    pub(crate) topic: String,
    pub(crate) version: u32,
    pub(crate) bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Waiting {
    topic: String,
    version: u32,
    bytes: Box<[u8]>,
}

/// An effect on its way out, with the key that consumers deduplicate by.
///
/// It is delivered again, with the same key and the same payload, until it is acknowledged.
#[derive(Debug)]
pub struct Delivery<E> {
    /// The stable key.
    pub key: EffectKey,
    effect: E,
}

impl<E> Delivery<E> {
    /// The effect itself.
    pub fn into_inner(self) -> E {
        self.effect
    }
}

impl<E> Deref for Delivery<E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.effect
    }
}

/// All effects that nobody has acknowledged, in the order in which they were emitted.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<(CommitSeq, u32), Waiting>,
}

impl Outbox {
    pub(crate) fn restore(image: &Image) -> Self {
        let waiting = image.outbox().map(|(commit, ordinal, effect)| {
            let (topic, version) = (effect.topic.clone(), effect.version);
            ((commit, ordinal), Waiting { topic, version, bytes: effect.bytes.clone() })
        });
        Self { waiting: waiting.collect() }
    }

    #[inline]
    pub(crate) fn add(&mut self, commit: CommitSeq, emitted: impl Iterator<Item = Emitted>) {
        for Emitted { ordinal, topic, version, bytes } in emitted {
            self.waiting.insert((commit, ordinal), Waiting { topic, version, bytes });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The last commit with an effect of this topic.
    pub(crate) fn last_commit(&self, topic: &str) -> Option<CommitSeq> {
        let last = self.waiting.iter().rev().find(|(_, waiting)| waiting.topic == topic);
        last.map(|((commit, _), _)| *commit)
    }

    pub(crate) fn deliveries<E: Effect>(&self, session: SessionId) -> Result<Vec<Delivery<E>>> {
        let of_topic = self.waiting.iter().filter(|(_, waiting)| waiting.topic == E::TOPIC);
        let deliveries = of_topic.map(|(&(commit, ordinal), waiting)| {
            let effect = E::read(waiting.version, &waiting.bytes)?;
            Ok(Delivery { key: EffectKey { session, commit, ordinal }, effect })
        });
        deliveries.collect()
    }

    pub(crate) fn check(&self, key: EffectKey) -> Result<()> {
        let waits = self.waiting.contains_key(&(key.commit, key.ordinal));
        if waits { Ok(()) } else { Err(Error::UnknownEffect { key }) }
    }

    pub(crate) fn remove(&mut self, key: EffectKey) {
        self.waiting.remove(&(key.commit, key.ordinal));
    }
}

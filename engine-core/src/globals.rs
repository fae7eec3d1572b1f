//! Globals: named values beside the facts.

use crate::trail::{OrderedMap, trailed};

/// The globals of a session, as stored bytes by name.
#[derive(Clone, Default)]
pub(crate) struct Globals {
    pub(crate) values: OrderedMap<String, (u32, Box<[u8]>)>,
}

trailed!(Globals { values });

impl Globals {
    pub(crate) fn get(&self, name: &str) -> Option<(u32, &[u8])> {
        self.values.get(&name.to_owned()).map(|(version, bytes)| (*version, &**bytes))
    }
}

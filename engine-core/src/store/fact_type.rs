//! What the engine knows about a type of facts before it has seen one.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;

use super::DEFAULT_ENTRY;
use super::table::{AnyArena, AnyTable, Arena, Table};
use crate::fact::{Fact, FieldMask};

/// What the engine must know about a fact type before it has seen a fact of it; and through which
/// entry point its facts come, as the same type from two entry points is two kinds of facts.
#[derive(Clone, Copy)]
pub struct FactType {
    id: TypeId,
    name: &'static str,
    /// The name of the entry point; empty for the default one.
    entry: &'static str,
    version: u32,
    fields: &'static [&'static str],
    key: Key,
    event: bool,
    lasts: bool,
    time_fields: FieldMask,
    expires: Option<i64>,
    create: fn() -> Box<dyn AnyTable>,
    arena: fn() -> Box<dyn AnyArena>,
}

/// Whether facts of a type have a key, and whether each has its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    None,
    Fields,
    Unique,
}

impl FactType {
    /// The description of `T`.
    pub fn of<T: Fact>() -> Self {
        Self {
            id: TypeId::of::<T>(),
            name: T::NAME,
            entry: DEFAULT_ENTRY,
            version: T::VERSION,
            fields: T::FIELDS,
            key: match (T::KEYED, T::UNIQUE) {
                (_, true) => Key::Unique,
                (true, false) => Key::Fields,
                (false, false) => Key::None,
            },
            event: T::EVENT,
            lasts: T::LASTS,
            time_fields: T::TIME_FIELDS,
            expires: T::EXPIRES,
            create: || Box::new(Table::<T>::default()),
            arena: || Box::new(Arena::<T>(Vec::new())),
        }
    }

    /// The same type from a named entry point.
    #[must_use]
    pub fn from_entry(self, entry: &'static str) -> Self {
        Self { entry, ..self }
    }

    /// The type's stable name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The entry point that its facts come through; empty for the default one.
    pub fn entry(&self) -> &'static str {
        self.entry
    }

    /// What journals call its facts: the type's name, with `@` and the entry point if that has one.
    pub fn stored_name(&self) -> Cow<'static, str> {
        match self.entry {
            DEFAULT_ENTRY => Cow::Borrowed(self.name),
            entry => Cow::Owned(format!("{}@{entry}", self.name)),
        }
    }

    /// Its schema version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Names of its fields.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// Whether some of its fields are a key.
    #[inline]
    pub(super) fn is_keyed(&self) -> bool {
        self.key != Key::None
    }

    /// Whether its facts are events.
    #[inline]
    pub fn is_event(&self) -> bool {
        self.event
    }

    /// Whether an event of the type may last, so that it ends later than it begins.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// How many milliseconds after its end an event of the type leaves, if it does.
    #[inline]
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// The fields that say when an event of the type happened.
    pub(crate) fn time_fields(&self) -> FieldMask {
        self.time_fields
    }

    pub(crate) fn is_unique(&self) -> bool {
        self.key == Key::Unique
    }

    pub(crate) fn new_table(&self) -> Box<dyn AnyTable> {
        (self.create)()
    }

    pub(crate) fn new_arena(&self) -> Box<dyn AnyArena> {
        (self.arena)()
    }

    /// What tells it from others in one ruleset.
    pub(crate) fn id(&self) -> (TypeId, &'static str) {
        (self.id, self.entry)
    }
}

impl fmt::Debug for FactType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.stored_name(), self.version)
    }
}

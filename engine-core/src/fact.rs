//! Facts: the user's types, and what the engine must know about them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use steadfast_wm::FactHandle;
use steadfast_wm::codec::v1::append_postcard;

/// A type whose values may be facts. Implemented by `#[derive(Fact)]`.
///
/// The engine owns its facts: a value changes only through an update, whose difference gives an
/// exact mask of the changed fields.
///
/// # Contract
///
/// The implementor ensures that equal values serialize to equal bytes (no hash maps or hash sets
/// inside) and that no value has interior mutability. The engine promises to call nothing here but
/// from the thread that uses the session.
pub trait Fact: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Stable name in journals; by default the type's.
    const NAME: &'static str;
    /// Schema version of what this build writes.
    const VERSION: u32;
    /// Names of the fields, in the order of the mask's bits.
    const FIELDS: &'static [&'static str];
    /// Whether the type has key fields (`#[fact(key)]`).
    const KEYED: bool = false;
    /// Whether inserting a second fact with the same key is an error (`#[fact(unique)]`).
    const UNIQUE: bool = false;
    /// Whether some fields alone decide which derived facts are one (`#[fact(derived_key)]`).
    const HAS_DERIVED_KEY: bool = false;

    /// Whether values are events (`#[fact(event)]`): they have a time, and may expire.
    const EVENT: bool = false;
    /// Whether an event lasts: [`Fact::duration`] may be other than 0.
    const LASTS: bool = false;
    /// How many milliseconds after its end an event leaves; without, it stays until it is deleted.
    const EXPIRES: Option<i64> = None;
    /// The fields that [`Fact::timestamp`] and [`Fact::duration`] read.
    const TIME_FIELDS: FieldMask = FieldMask::NONE;

    /// When an event began, in milliseconds of the session's clock; none if that is when it was inserted.
    fn timestamp(&self) -> Option<i64> {
        None
    }

    /// How long an event lasted, in milliseconds; 0 unless [`Fact::LASTS`].
    fn duration(&self) -> i64 {
        0
    }

    /// The fields in which two values differ.
    fn diff(&self, other: &Self) -> FieldMask;

    /// Reads a value written by this or an older build.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the version has no upcaster or the bytes do not fit it.
    fn read(version: u32, bytes: &[u8]) -> Result<Self, ReadError>;

    /// Tells the parts by which facts that rules derive are told apart: values that are equal in all of
    /// them are one fact, with the first value (S80). All of the value, unless the type declares a
    /// derived key.
    fn derived_key(&self, key: &mut DerivedKey<'_>) {
        key.part(self);
    }

    /// Hash code of the key fields, if the type declares any.
    fn key_code(&self) -> Option<u64> {
        None
    }

    /// Whether two values have equal key fields; never true for a type without a key.
    fn same_key(&self, _other: &Self) -> bool {
        false
    }
}

/// Takes the parts of a value's derived key: see [`Fact::derived_key`].
#[derive(Debug)]
pub struct DerivedKey<'a> {
    bytes: &'a mut Vec<u8>,
    failed: Result<(), postcard::Error>,
}

impl DerivedKey<'_> {
    /// Takes the next part. Parts with equal bytes are equal.
    pub fn part<P: Serialize>(&mut self, part: &P) {
        if self.failed.is_ok() {
            self.failed = append_postcard(part, self.bytes);
        }
    }
}

/// Appends the bytes that decide which derived facts are one.
pub(crate) fn append_derived_key<T: Fact>(
    fact: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), postcard::Error> {
    let mut key = DerivedKey { bytes, failed: Ok(()) };
    fact.derived_key(&mut key);
    key.failed
}

/// A type whose values leave the session through the outbox. Implemented by `#[derive(Effect)]`.
pub trait Effect: Serialize + DeserializeOwned + Send + 'static {
    /// Stable name in journals and outboxes; by default the type's.
    const TOPIC: &'static str;
    /// Schema version of what this build writes.
    const VERSION: u32 = 1;

    /// Reads a value written by this or an older build.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the version is another one or the bytes do not fit it.
    fn read(version: u32, bytes: &[u8]) -> Result<Self, ReadError> {
        read_current(Self::TOPIC, Self::VERSION, version, bytes)
    }
}

/// A type of which a session has at most one value beside its facts. Implemented by
/// `#[derive(Global)]`.
///
/// Globals are journaled when set and are *not reactive*: no condition can read one.
pub trait Global: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Stable name in journals; by default the type's.
    const NAME: &'static str;
    /// Schema version of what this build writes.
    const VERSION: u32 = 1;

    /// Reads a value written by this or an older build.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the version is another one or the bytes do not fit it.
    fn read(version: u32, bytes: &[u8]) -> Result<Self, ReadError> {
        read_current(Self::NAME, Self::VERSION, version, bytes)
    }
}

/// Why a stored value could not be read as its type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The value was written by a newer build: deploy that build, or one that knows the version.
    #[error("`{name}` was stored with version {found}, this build knows up to {current}")]
    NewerVersion {
        /// Name of the type.
        name: &'static str,
        /// Version found.
        found: u32,
        /// Version of this build.
        current: u32,
    },
    /// The value is older and the type declares no upcaster for it (`#[fact(from = …)]`).
    #[error(
        "`{name}` was stored with version {found}, this build has version {current} and no upcaster: \
         add #[fact(from = OldType)]"
    )]
    NoUpcaster {
        /// Name of the type.
        name: &'static str,
        /// Version found.
        found: u32,
        /// Version of this build.
        current: u32,
    },
    /// The version is the type's own but the bytes do not fit: its fields changed without a new
    /// version, or the bytes are damaged.
    #[error(
        "the bytes of `{name}` version {version} do not fit its fields ({detail}): \
         did the fields change without a new version?"
    )]
    Malformed {
        /// Name of the type.
        name: &'static str,
        /// Version found.
        version: u32,
        /// What the decoder says.
        detail: String,
    },
}

/// Reads a value of the type's own version; what the derives call after their upcasters.
///
/// # Errors
///
/// As [`Fact::read`].
#[doc(hidden)]
pub fn read_current<T: DeserializeOwned>(
    name: &'static str,
    current: u32,
    found: u32,
    bytes: &[u8],
) -> Result<T, ReadError> {
    if found > current {
        return Err(ReadError::NewerVersion { name, found, current });
    }
    if found < current {
        return Err(ReadError::NoUpcaster { name, found, current });
    }
    let malformed = |detail: String| ReadError::Malformed { name, version: found, detail };
    let (value, rest) =
        postcard::take_from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(malformed(format!("{} bytes are left over", rest.len())))
    }
}

/// A set of fields of one type, one bit each; the 63rd bit stands for all fields beyond the 62nd, the
/// 64th for the fact as a whole, which only an explicit touch concerns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldMask(u64);

impl FieldMask {
    /// No field.
    pub const NONE: Self = Self(0);
    /// Every field, and the fact as a whole.
    pub const ALL: Self = Self(u64::MAX);
    /// The fact as a whole: what an explicit touch concerns beside the fields.
    pub(crate) const WHOLE: Self = Self(1 << 63);

    /// The field with this index.
    pub const fn field(index: usize) -> Self {
        Self(1 << if index < 62 { index } else { 62 })
    }

    /// The field of `T` with this name, or every field if `T` has none of that name.
    pub fn of<T: Fact>(name: &str) -> Self {
        T::FIELDS.iter().position(|field| *field == name).map_or(Self::ALL, Self::field)
    }

    /// The mask from its bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Fields of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Fields of this mask that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no field is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether some field is in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Debug for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldMask({:#b})", self.0)
    }
}

/// A typed reference to a fact of one session.
///
/// It stays valid over restarts. It can be stored (it is a serde type), also inside other facts. If the work that
/// inserted its fact is undone it is refused as one of a fact that does not exist, also when another fact has got
/// the number; the number alone, or a handle that was serialized, does not know that.
pub struct Handle<T> {
    fact: FactHandle,
    session: u32,
    /// How often numbers of facts had been taken back when it was given out.
    given: u32,
    kind: PhantomData<fn() -> T>,
}

/// A handle of a fact that work has kept, or of which nobody knows when it was given out.
const ANY_TIME: u32 = u32::MAX;

impl<T> Handle<T> {
    /// Of a fact that is applied.
    pub(crate) const fn new(fact: FactHandle, session: u32) -> Self {
        Self::given(fact, session, ANY_TIME)
    }

    /// Of a fact of work that may be undone.
    pub(crate) const fn given(fact: FactHandle, session: u32, given: u32) -> Self {
        Self { fact, session, given, kind: PhantomData }
    }

    /// How often numbers of facts had been taken back when it was given out.
    pub(crate) const fn given_after(self) -> u32 {
        self.given
    }

    /// The fact's identity in its session.
    pub const fn fact(self) -> FactHandle {
        self.fact
    }

    /// Fingerprint of the session that gave it out.
    pub const fn session(self) -> u32 {
        self.session
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Handle<T> {}
impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.fact, self.session) == (other.fact, other.session)
    }
}
impl<T> Eq for Handle<T> {}
impl<T> PartialOrd for Handle<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Handle<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.fact, self.session).cmp(&(other.fact, other.session))
    }
}
impl<T> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.fact, self.session).hash(state);
    }
}
impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fact, f)
    }
}
impl<T> Serialize for Handle<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.fact, self.session).serialize(serializer)
    }
}
impl<'de, T> Deserialize<'de> for Handle<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (fact, session) = Deserialize::deserialize(deserializer)?;
        Ok(Self::new(fact, session))
    }
}

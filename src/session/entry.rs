//! Named entry points.

use steadfast_engine_core::{Fact, Handle, KeyOf, Ref};

use super::Session;
use crate::error::Result;

/// A named entry point of a session: its facts alone, each call a commit. See [`Session::entry`].
#[derive(Debug)]
pub struct EntryPoint<'a> {
    session: &'a mut Session,
    name: &'a str,
}

impl Session {
    /// The named entry point: what is inserted comes through it, and handles are those of its facts.
    ///
    /// An entry point is a gate for facts of any type. A fact stays in the one that it came through, and
    /// only patterns that name it (`#[from("east")]`) see it. Keys and equality are its own. The default
    /// entry point has no name; it is the session's own calls. Inside of a transaction,
    /// [`steadfast_engine_core::Stage::entry`] is the same.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast::prelude::*;
    ///
    /// #[derive(Fact, Clone, Serialize, Deserialize)]
    /// struct Order { id: u64 }
    /// #[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
    /// struct Routed { order: u64 }
    ///
    /// #[rule(logical)]
    /// fn route(#[from("east")] o: &Order) -> Routed { Routed { order: o.id } }
    ///
    /// ruleset!(shop = 1: route);
    ///
    /// let mut session = Session::memory(shop())?;
    /// session.entry("east").insert(Order { id: 7 })?;
    /// session.fire_all()?;
    /// assert_eq!(session.query::<Routed>()?[0].order, 7);
    /// assert_eq!(session.entry("east").query::<Order>()?.len(), 1);
    /// # Ok::<(), steadfast::Error>(())
    /// ```
    pub fn entry<'a>(&'a mut self, name: &'a str) -> EntryPoint<'a> {
        EntryPoint { session: self, name }
    }
}

impl<'a> EntryPoint<'a> {
    /// As [`Session::insert`].
    ///
    /// # Errors
    ///
    /// As [`Session::insert`], with [`crate::ChangeError::UnknownEntryPoint`] if no rule reads such facts
    /// from it and the ruleset does not name them (`facts: Order from "east"`).
    pub fn insert<T: Fact>(&mut self, fact: T) -> Result<Handle<T>> {
        let name = self.name;
        self.session.transact(|stage| Ok(stage.entry(name).insert(fact)?))
    }

    /// As [`Session::insert_unique`], among the facts of this entry point.
    ///
    /// # Errors
    ///
    /// As [`EntryPoint::insert`].
    pub fn insert_unique<T: Fact>(&mut self, fact: T) -> Result<Handle<T>> {
        let name = self.name;
        self.session.transact(|stage| Ok(stage.entry(name).insert_unique(fact)?))
    }

    /// As [`Session::update`].
    ///
    /// # Errors
    ///
    /// As [`Session::update`], with [`crate::ChangeError::WrongEntryPoint`] for a fact of another one.
    pub fn update<T: Fact>(
        &mut self,
        handle: impl Into<Handle<T>>,
        change: impl FnOnce(&mut T),
    ) -> Result<()> {
        let name = self.name;
        self.session.transact(|stage| Ok(stage.entry(name).update(handle, change)?))
    }

    /// As [`Session::touch`].
    ///
    /// # Errors
    ///
    /// As [`EntryPoint::update`].
    pub fn touch<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<()> {
        let name = self.name;
        self.session.transact(|stage| Ok(stage.entry(name).touch(handle)?))
    }

    /// As [`Session::delete`].
    ///
    /// # Errors
    ///
    /// As [`EntryPoint::update`].
    pub fn delete<T: Fact>(&mut self, handle: impl Into<Handle<T>>) -> Result<bool> {
        let name = self.name;
        self.session.transact(|stage| Ok(stage.entry(name).delete(handle)?))
    }

    /// As [`Session::find`], among the facts of this entry point.
    pub fn find<T: Fact>(self, key: &(impl KeyOf<T> + ?Sized)) -> Option<Ref<'a, T>> {
        self.session.engine.find_from(self.name, key)
    }

    /// As [`Session::query`]: the facts of this entry point.
    ///
    /// # Errors
    ///
    /// As [`Session::query`].
    pub fn query<T: Fact>(self) -> Result<Vec<Ref<'a, T>>> {
        self.session.flush()?;
        Ok(self.session.engine.facts_from(self.name))
    }
}

//! The states of a group node's contexts.

use super::{Aggregate, AggregateError};
use crate::trail::{Scope, Trailed};

/// States of a function, by context.
///
/// They are trailed by what undoes a step instead of by before-images: a state may hold all members, a
/// step touches one. That a step is undone exactly is the contract of [`Aggregate`].
pub(super) struct States<F: Aggregate> {
    function: F,
    by_context: Vec<F::State>,
    log: Vec<(Scope, Undo<F>)>,
    /// Whether a step of the function in a scope is not over: for good, if it panicked.
    torn: bool,
}

/// A copy is in no scope, so that it has nothing to put back.
impl<F: Aggregate> Clone for States<F> {
    fn clone(&self) -> Self {
        let (function, by_context) = (self.function.clone(), self.by_context.clone());
        Self { function, by_context, log: Vec::new(), torn: self.torn }
    }
}

enum Undo<F: Aggregate> {
    Pushed,
    /// A whole state was replaced.
    Renewed(u32, F::State),
    Entered(Step<F>),
    Left(Step<F>),
}

struct Step<F: Aggregate> {
    context: u32,
    facts: Box<[u64]>,
    input: F::Input,
}

impl<F: Aggregate> States<F> {
    pub(super) fn new(function: F) -> Self {
        Self { function, by_context: Vec::new(), log: Vec::new(), torn: false }
    }

    /// Adds a context.
    pub(super) fn push(&mut self, scope: Scope) {
        self.by_context.push(F::State::default());
        if scope.is_open() {
            self.log.push((scope, Undo::Pushed));
        }
    }

    /// Makes a state that of a group without members.
    pub(super) fn renew(&mut self, scope: Scope, context: u32) {
        let old = std::mem::take(&mut self.by_context[context as usize]);
        if scope.is_open() {
            self.log.push((scope, Undo::Renewed(context, old)));
        }
    }

    #[inline]
    pub(super) fn enter(&mut self, scope: Scope, context: u32, facts: &[u64], input: &F::Input) {
        self.torn = scope.is_open();
        self.function.enter(&mut self.by_context[context as usize], facts, input);
        if scope.is_open() {
            let step = Step { context, facts: facts.into(), input: input.clone() };
            self.log.push((scope, Undo::Entered(step)));
            self.torn = false;
        }
    }

    #[inline]
    pub(super) fn leave(&mut self, scope: Scope, context: u32, facts: &[u64], input: &F::Input) {
        self.torn = scope.is_open();
        self.function.leave(&mut self.by_context[context as usize], facts, input);
        if scope.is_open() {
            let step = Step { context, facts: facts.into(), input: input.clone() };
            self.log.push((scope, Undo::Left(step)));
            self.torn = false;
        }
    }

    /// Whether a step of the function panicked in a scope, so that nobody knows how to undo it.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    #[inline]
    pub(super) fn output(&self, context: u32) -> Result<Option<F::Output>, AggregateError> {
        self.function.output(&self.by_context[context as usize])
    }
}

impl<F: Aggregate> Trailed for States<F> {
    fn undo(&mut self, scope: Scope) {
        let Self { function, by_context: states, log, torn } = self;
        let was_torn = std::mem::replace(torn, true);
        while let Some((_, undo)) = log.pop_if(|(written, _)| *written >= scope) {
            match undo {
                Undo::Pushed => drop(states.pop()),
                Undo::Renewed(context, old) => states[context as usize] = old,
                Undo::Entered(Step { context, facts, input }) => {
                    function.leave(&mut states[context as usize], &facts, &input);
                }
                Undo::Left(Step { context, facts, input }) => {
                    function.enter(&mut states[context as usize], &facts, &input);
                }
            }
        }
        *torn = was_torn;
    }

    fn forget(&mut self) {
        crate::trail::clear(&mut self.log);
    }

    fn trail_bytes(&self) -> usize {
        size_of_val(&*self.log)
    }
}

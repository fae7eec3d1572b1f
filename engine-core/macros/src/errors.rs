//! Collects errors, so that one build shows all of them.

use syn::Error;

/// Errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    /// Adds an error.
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Takes the value out, or remembers why there is none.
    pub(crate) fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// The value if nothing went wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Error> {
        match self.0 {
            Some(errors) => Err(errors),
            None => Ok(value),
        }
    }
}

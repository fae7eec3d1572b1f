//! What a condition asks, apart from the rule that it stands in: patterns of several rules that ask the same
//! have one memory of facts.
//!
//! Nothing here goes by names that may stand for something else elsewhere: fields are those of the fact's
//! type, constants are compared by their values, functions by their types.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// What a condition on one fact asks, or what a key takes of it.
///
/// Of one fact type, equal meanings give equal answers for every fact. A condition that tells no meaning is
/// like no other one.
#[derive(Clone, PartialEq, Eq)]
pub struct Meaning(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// What is found at a path of fields: as a condition, that it is true.
    Path(&'static str),
    /// A path of fields beside a literal, as written: the field's type decides what it is.
    Literal(&'static str, &'static str, &'static str),
    /// A path of fields, or what a function gives, beside a value.
    Value(Box<Self>, &'static str, Constant),
    /// What a function without any data of its own gives.
    Function(TypeId),
    Not(Box<Self>),
    Both(&'static str, Box<(Self, Self)>),
}

/// The value of a constant.
#[derive(Clone)]
#[doc(hidden)]
pub struct Constant(Arc<dyn Value>);

trait Value: Any + Send + Sync {
    fn is(&self, other: &dyn Any) -> bool;
    fn as_any(&self) -> &dyn Any;
}

impl<T: Eq + Send + Sync + 'static> Value for T {
    fn is(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>().is_some_and(|other| self == other)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        (*self.0).is((*other.0).as_any())
    }
}
impl Eq for Constant {}

impl Constant {
    pub(crate) fn new<T: Eq + Send + Sync + 'static>(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl Meaning {
    /// What stands at a path of fields.
    pub fn path(path: &'static str) -> Self {
        Self(Form::Path(path))
    }

    /// What a function gives: known if it holds no data, so that its type says all.
    pub fn function<F: 'static>(_: &F) -> Option<Self> {
        (size_of::<F>() == 0).then(|| Self(Form::Function(TypeId::of::<F>())))
    }

    /// The same, equal to a value.
    #[must_use]
    pub fn is<T: Eq + Send + Sync + 'static>(self, value: T) -> Self {
        Self(Form::Value(Box::new(self.0), "==", Constant::new(value)))
    }

    /// The same, as an exact code and not as a hash.
    pub(crate) fn exact(self) -> Self {
        Self(Form::Value(Box::new(self.0), "as", Constant::new("exact code")))
    }

    /// A path of fields compared to a literal.
    #[doc(hidden)]
    pub fn literal(path: &'static str, operator: &'static str, literal: &'static str) -> Self {
        Self(Form::Literal(path, operator, literal))
    }

    /// A path of fields compared to a constant, if its value is known.
    #[doc(hidden)]
    pub fn constant(
        path: &'static str,
        operator: &'static str,
        constant: Option<Constant>,
    ) -> Option<Self> {
        Some(Self(Form::Value(Box::new(Form::Path(path)), operator, constant?)))
    }

    /// The opposite.
    #[doc(hidden)]
    pub fn opposite(of: Option<Self>) -> Option<Self> {
        Some(Self(Form::Not(Box::new(of?.0))))
    }

    /// Two conditions, one after the other.
    #[doc(hidden)]
    pub fn both(left: Option<Self>, operator: &'static str, right: Option<Self>) -> Option<Self> {
        Some(Self(Form::Both(operator, Box::new((left?.0, right?.0)))))
    }
}

impl fmt::Debug for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Path(path) => f.write_str(path),
            Form::Literal(path, operator, literal) => write!(f, "{path} {operator} {literal}"),
            Form::Value(of, operator, _) => {
                write!(f, "{:?} {operator} a constant", Self((**of).clone()))
            }
            Form::Function(_) => f.write_str("a function"),
            Form::Not(of) => write!(f, "!({:?})", Self((**of).clone())),
            Form::Both(operator, both) => {
                let (left, right) = (Self(both.0.clone()), Self(both.1.clone()));
                write!(f, "({left:?} {operator} {right:?})")
            }
        }
    }
}

/// Asks whether the type of a constant, which a macro cannot see, has values that can be kept and compared.
///
/// `(&KnownBy(&constant)).known()` finds [`KnowValue`] first and falls back to [`KnowNothing`].
#[doc(hidden)]
#[derive(Debug)]
pub struct KnownBy<'a, T: ?Sized>(pub &'a T);

#[doc(hidden)]
pub trait KnowValue {
    fn known(&self) -> Option<Constant>;
}
impl<T: Eq + Clone + Send + Sync + 'static> KnowValue for KnownBy<'_, T> {
    fn known(&self) -> Option<Constant> {
        Some(Constant::new(self.0.clone()))
    }
}

#[doc(hidden)]
pub trait KnowNothing {
    fn known(&self) -> Option<Constant>;
}
impl<T: ?Sized> KnowNothing for &KnownBy<'_, T> {
    fn known(&self) -> Option<Constant> {
        None
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a constant")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::needless_borrow, reason = "as macros write it, who do not see the type")]
    fn constants_are_the_same_by_type_and_value() {
        #[derive(Clone, PartialEq, Eq)]
        enum Color {
            Red,
            Blue,
        }
        let of = |constant| Meaning::constant("color", "==", constant);
        let red = || of((&KnownBy(&Color::Red)).known());
        assert!(red().is_some() && red() == red());
        assert!(red() != of((&KnownBy(&Color::Blue)).known()));
        assert!(of((&KnownBy(&1_u8)).known()) != of((&KnownBy(&1_u16)).known()));
        assert!(of((&KnownBy(&1.5_f64)).known()).is_none(), "what is not equal to itself");
        assert!(Meaning::opposite(red()) == Meaning::opposite(red()));
        assert!(Meaning::opposite(red()) != red());
        assert!(Meaning::both(red(), "||", None).is_none());
    }

    #[test]
    fn functions_are_the_same_by_type_if_they_hold_nothing() {
        let twice = |value: &u32| value * 2;
        let copy = twice;
        let other = |value: &u32| value * 2;
        assert!(Meaning::function(&twice).is_some());
        assert!(Meaning::function(&twice) == Meaning::function(&copy));
        assert!(Meaning::function(&twice) != Meaning::function(&other));
        let bound = 3;
        assert!(Meaning::function(&move |value: &u32| *value > bound).is_none());
    }
}

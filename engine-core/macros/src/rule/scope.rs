//! Which variables a condition sees, and what to say of those that it does not see.

use syn::{Error, Expr, Ident, Result};

use super::classify::{Class, classify, conjuncts};
use super::items::Item;
use super::model::{Condition, Used, Value, Variable};
use super::param::{Kind, Param};
use super::temporal::Temporal;
use super::usage::Usage;

/// The variables that the next parameter's conditions may use.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// Facts and groups before it, in the order of their positions.
    pub(crate) visible: Vec<Variable>,
    /// How many positions there are before it, those of hidden variables included.
    positions: usize,
    /// Names that exist but cannot be used here.
    hidden: Vec<Hidden>,
}

/// A name that exists but cannot be used everywhere.
#[derive(Clone)]
struct Hidden {
    name: String,
    /// Why not, for whoever uses it.
    reason: String,
    /// Whether it is no parameter's, but of an attribute which alone sees it.
    inside: bool,
}

impl Scope {
    /// A scope that sees nothing yet of these parameters.
    pub(crate) fn of(params: &[Param]) -> Self {
        let hidden = params.iter().flat_map(|param| {
            let name = param.name.to_string();
            let reason = hidden_reason(param, &name);
            std::iter::once(Hidden { name, reason, inside: false }).chain(hidden_inside(param))
        });
        Self { visible: Vec::new(), positions: 0, hidden: hidden.collect() }
    }

    /// The next free position.
    pub(crate) fn next_position(&self) -> usize {
        self.positions
    }

    /// Makes a variable visible.
    pub(crate) fn show(&mut self, variable: Variable) {
        let name = variable.name.to_string();
        self.hidden.retain(|hidden| hidden.name != name);
        self.visible.push(variable);
        self.positions += 1;
    }

    /// Makes a variable invisible again; its position stays taken.
    pub(crate) fn hide(&mut self, name: &str, reason: String) {
        self.visible.retain(|variable| variable.name != name);
        self.hidden.retain(|hidden| hidden.name != name);
        self.hidden.push(Hidden { name: name.to_owned(), reason, inside: false });
    }

    /// This scope with one more variable.
    pub(crate) fn with(&self, variable: &Variable) -> Self {
        let mut scope = self.clone();
        scope.show(variable.clone());
        scope
    }

    /// Whether a name is taken, visible here or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.find(name).is_some() || self.hidden.iter().any(|hidden| hidden.name == name)
    }

    /// Whether a name is taken by no parameter, but only inside of attributes of others: it may be
    /// used again.
    pub(crate) fn is_free_again(&self, name: &str) -> bool {
        let mut taken = self.hidden.iter().filter(|hidden| hidden.name == name).peekable();
        self.find(name).is_none() && taken.peek().is_some() && taken.all(|hidden| hidden.inside)
    }

    /// The visible variable of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Variable> {
        self.visible.iter().find(|variable| variable.name == name)
    }

    /// Refuses names that cannot be used here.
    pub(crate) fn check(&self, usage: &Usage) -> Result<()> {
        for (name, used) in &usage.names {
            let hidden = self.hidden.iter().find(|hidden| hidden.name == *name);
            if let Some(hidden) = hidden
                && !usage.bound.contains(name)
            {
                return Err(Error::new(used.ident.span(), &hidden.reason));
            }
        }
        Ok(())
    }

    /// The variables that an expression uses, in the order of their positions.
    fn used(&self, usage: &Usage) -> Result<Vec<Used>> {
        self.check(usage)?;
        let used = self.visible.iter().filter_map(|variable| {
            let usage = usage.names.get(&variable.name.to_string())?.clone();
            Some(Used { variable: variable.clone(), usage })
        });
        Ok(used.collect())
    }

    /// Splits and classifies a condition. The last visible variable is the inner one.
    pub(crate) fn conditions(&self, condition: &Expr) -> Result<Vec<Condition>> {
        let inner = self.visible.last().map(|variable| variable.name.to_string());
        let inner = inner.unwrap_or_default();
        let is_earlier = |name: &str| name != inner && self.find(name).is_some();
        let each = conjuncts(condition).into_iter().map(|conjunct| {
            let used = self.used(&Usage::of(&conjunct.expr))?;
            let class = match Temporal::of(&conjunct.expr, &inner, |name| self.find(name).cloned())?
            {
                Some(temporal) => Class::Temporal(Box::new(temporal)),
                None => classify(&conjunct.expr, &inner, is_earlier),
            };
            Ok(Condition { expr: conjunct.expr, written: conjunct.written, class, used })
        });
        each.collect()
    }

    /// An expression that gives a value.
    pub(crate) fn value(&self, expr: &Expr) -> Result<Value> {
        let used = self.used(&Usage::of(expr))?;
        Ok(Value { expr: expr.clone(), used })
    }
}

/// The variables that a parameter's own attribute names.
fn hidden_inside(param: &Param) -> Vec<Hidden> {
    let branches = param.attributes.or.iter().map(|(items, _)| ("or", items));
    let word = match &param.kind {
        Kind::Exists { .. } => "exists",
        Kind::Forall { .. } => "forall",
        _ => "not",
    };
    let lists = branches.chain(param.attributes.items.iter().map(|items| (word, items)));
    let names = lists.flat_map(|(word, items)| {
        items.iter().flat_map(Item::variables).map(move |(name, _)| (word, name))
    });
    let hidden = names.map(|(word, name)| {
        let reason = inside(word, name);
        Hidden { name: name.to_string(), reason, inside: true }
    });
    hidden.collect()
}

/// Why a variable that an attribute names is not visible outside of it.
pub(crate) fn inside(word: &str, name: &Ident) -> String {
    format!("`{name}` is bound inside of an `#[{word}(…)]`, and only that sees it")
}

fn hidden_reason(param: &Param, name: &str) -> String {
    match &param.kind {
        Kind::Fact { .. } => format!(
            "`{name}` stands behind this: a condition sees its own variable and those before it; \
             move the condition to `{name}`, or `{name}` before this"
        ),
        Kind::Absent { .. } => format!(
            "`{name}` is bound inside of a `not`: there is no such fact, so only its own \
             `#[not(…)]` sees it"
        ),
        Kind::Exists { .. } => format!(
            "`{name}` is bound inside of an `exists`: it stands for no particular fact, so only \
             its own `#[exists(…)]` sees it"
        ),
        Kind::Forall { .. } => format!(
            "`{name}` is bound inside of a `forall`: it stands for every such fact, so only its own \
             `#[forall(…)]` sees it"
        ),
        Kind::Either => format!("`{name}` says which branch matched; conditions do not see it"),
        Kind::Group(_) => format!(
            "the group `{name}` is not complete here: conditions on its result belong into a \
             `#[having(…)]` behind it, or on a later pattern"
        ),
        Kind::Having => format!("`{name}` is a condition on a group and has no value"),
        Kind::Then => format!(
            "`{name}` is the context of the consequence: conditions see facts and groups only; \
             what they depend on beside these belongs into a fact"
        ),
    }
}

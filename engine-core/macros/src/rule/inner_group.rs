//! A group that is named inside of an attribute: `g: Group<Line, (), (i64,)> when(l.order == o.id)
//! aggregate(sum(l.quantity)), g.0 > 100`.

use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Error, Expr, Ident, Meta, MetaList, Result, Token, Type, token};

use super::attributes::Attributes;
use super::classify::Class;
use super::group::group;
use super::items::{conditions, entry};
use super::model::{GroupPattern, Variable};
use super::param::{GroupType, Kind};
use super::scope::Scope;

const EXPECTED: &str = "behind a group's type stand `group_by(…)`, `aggregate(…)`, `when(…)`, `each(…)`, \
                        `from \"…\"` and `window(…)`, and behind a `,` conditions on its result";

/// A group, with what attributes say of one that is a parameter.
#[derive(Clone)]
pub(crate) struct InnerGroup {
    pub(crate) name: Ident,
    pub(crate) ty: GroupType,
    attributes: Attributes,
    /// Conditions on its result.
    pub(crate) having: Vec<Expr>,
}

impl InnerGroup {
    /// Reads what stands behind the type, which has a group's name.
    pub(crate) fn parse(name: Ident, ty: &Type, input: ParseStream<'_>) -> Result<Self> {
        let Kind::Group(ty) = Kind::of(ty)? else {
            return Err(Error::new_spanned(ty, "expected `Group<Fact, Key, (Results,)>`"));
        };
        let mut attributes = Attributes::default();
        while input.peek(Ident::peek_any) {
            word(&mut attributes, input)?;
        }
        if !(input.is_empty() || input.peek(Token![,]) || input.peek(Token![;])) {
            return Err(input.error(EXPECTED));
        }
        if attributes.aggregate.is_none() {
            let message =
                "expected `aggregate(…)` with the functions over the group behind its type";
            return Err(Error::new(name.span(), message));
        }
        let having = conditions(input)?;
        Ok(Self { name, ty: *ty, attributes, having })
    }

    /// All expressions in it.
    pub(crate) fn expressions(&self) -> Vec<&Expr> {
        self.attributes.expressions().into_iter().chain(&self.having).collect()
    }

    /// Makes it a part behind what the scope shows, and shows it to what stands behind it.
    pub(crate) fn analyze(self, scope: &mut Scope, cross: bool) -> Result<GroupPattern> {
        let Self { name, ty, mut attributes, having } = self;
        let (whole, position) = (ty.whole.clone(), scope.next_position());
        if cross {
            attributes.cross = Some(name.span());
        }
        let mut before = scope.clone();
        let reason = format!(
            "the group `{name}` is not complete here: conditions on its result stand behind it, after \
             a `,`"
        );
        before.hide(&name.to_string(), reason);
        let variable = Variable { name, ty: whole, is_group: true, position };
        let mut pattern = group(&before, variable.clone(), ty, attributes)?;
        scope.show(variable);
        for condition in &having {
            for mut condition in scope.conditions(condition)? {
                condition.class = Class::Residual;
                pattern.having.push(condition);
            }
        }
        Ok(pattern)
    }
}

/// A word with what stands in its parentheses: the attribute of that name, and `from` and `window` as they
/// stand behind the type of a fact.
fn word(attributes: &mut Attributes, input: ParseStream<'_>) -> Result<()> {
    let word = input.fork().call(Ident::parse_any)?;
    if word == "from" {
        if attributes.from.is_some() {
            return Err(Error::new(word.span(), "a group has one entry point"));
        }
        attributes.from = entry(input)?;
        return Ok(());
    }
    let name = word.to_string();
    if name == "having" {
        let message = "conditions on the result stand behind the group, after a `,`";
        return Err(Error::new(word.span(), message));
    }
    let is_known = matches!(name.as_str(), "group_by" | "aggregate" | "when" | "each" | "window");
    if !is_known || !input.peek2(token::Paren) {
        return Err(Error::new(word.span(), EXPECTED));
    }
    let list: MetaList = input.parse()?;
    let attribute = Attribute {
        pound_token: token::Pound::default(),
        style: syn::AttrStyle::Outer,
        bracket_token: token::Bracket::default(),
        meta: Meta::List(list),
    };
    attributes.add(&name, &attribute)
}

//! A walk through the body of a rule's function for its calls on the context.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::visit::{self, Visit};
use syn::{
    AngleBracketedGenericArguments, Attribute, Block, Expr, ExprMethodCall, GenericArgument, Item,
    Lit, LitStr, Pat, Path, Type, UseTree,
};

use super::{Known, Target, Way, Writes};
use crate::rule::param::{Kind, Param, last_segment, type_arguments};
use crate::rule::usage::root;

/// What a body does on the context that it gets as one of these parameters.
pub(super) fn writes(body: &Block, params: &[Param]) -> Writes {
    let mut names = Names::default();
    names.visit_block(body);
    let mut outermost = BTreeMap::new();
    let mut has_context = false;
    for param in params {
        let entry = param.attributes.from.clone();
        let bound = match &param.kind {
            Kind::Then => {
                has_context = true;
                Bound::Context
            }
            Kind::Fact { ty, with_handle } => {
                let target = Target { known: Known::Type(ty.clone()), entry };
                Bound::Fact { target, by_reference: !with_handle }
            }
            _ => Bound::Unknown,
        };
        outermost.insert(param.name.to_string(), bound);
    }
    if !has_context {
        return Writes::default();
    }
    if names.conditional {
        // What is compiled in is not known here.
        return Writes { list: Vec::new(), unseen: true };
    }
    let scopes = vec![outermost];
    let mut walk = Walk { names, scopes, writes: Writes::default() };
    walk.visit_block(body);
    walk.writes
}

/// Names that items inside of the body bring along: outside, where the definition stands, they mean something else.
#[derive(Default)]
struct Names {
    own: BTreeSet<String>,
    glob: bool,
    conditional: bool,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Use(item) => self.used(&item.tree),
            Item::Struct(item) => self.add(&item.ident),
            Item::Enum(item) => self.add(&item.ident),
            Item::Union(item) => self.add(&item.ident),
            Item::Type(item) => self.add(&item.ident),
            Item::Const(item) => self.add(&item.ident),
            Item::Static(item) => self.add(&item.ident),
            Item::Mod(item) => self.add(&item.ident),
            Item::Fn(item) => self.add(&item.sig.ident),
            Item::Impl(_) => {}
            // A macro may make anything.
            _ => self.glob = true,
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let path = attribute.path();
        self.conditional |= path.is_ident("cfg") || path.is_ident("cfg_attr");
    }
}

impl Names {
    fn add(&mut self, ident: &syn::Ident) {
        self.own.insert(ident.to_string());
    }

    fn used(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.used(&path.tree),
            UseTree::Name(name) => self.add(&name.ident),
            UseTree::Rename(rename) => self.add(&rename.rename),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.used(tree)),
            UseTree::Glob(_) => self.glob = true,
        }
    }

    /// Whether a path means the same in the definition, which stands beside the function.
    fn is_outer(&self, path: &Path) -> bool {
        let Some(first) = path.segments.first() else { return false };
        let name = first.ident.to_string();
        let absolute =
            path.leading_colon.is_some() || matches!(name.as_str(), "crate" | "super" | "self");
        name != "Self" && (absolute || !self.glob && !self.own.contains(&name))
    }
}

/// What a name in the body stands for.
#[derive(Clone)]
enum Bound {
    Context,
    /// A fact that lives, or its handle.
    Fact {
        target: Target,
        by_reference: bool,
    },
    /// A value that is none yet.
    Value(Known),
    Unknown,
}

struct Walk {
    names: Names,
    scopes: Vec<BTreeMap<String, Bound>>,
    writes: Writes,
}

impl Walk {
    fn lookup(&self, name: &str) -> Option<&Bound> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    fn bind(&mut self, name: String, bound: Bound) {
        self.scopes.last_mut().expect("there is always one").insert(name, bound);
    }

    fn scoped(&mut self, body: impl FnOnce(&mut Self)) {
        self.scopes.push(BTreeMap::new());
        body(self);
        self.scopes.pop();
    }

    /// What the variable at the root of an expression stands for: `o` of `o`, `&o`, `*o`.
    fn root_of(&self, expr: &Expr) -> Option<&Bound> {
        root(expr).and_then(|ident| self.lookup(&ident.to_string()))
    }

    fn is_context(&self, expr: &Expr) -> bool {
        matches!(self.root_of(expr), Some(Bound::Context))
    }

    /// A call on the context, if that is one: with the entry point through which it goes.
    fn on_context(&self, call: &ExprMethodCall) -> Option<Through> {
        if self.is_context(&call.receiver) {
            return Some(Through::Default);
        }
        let Expr::MethodCall(entry) = without_parens(&call.receiver) else { return None };
        if entry.method != "entry" || !self.is_context(&entry.receiver) {
            return None;
        }
        match entry.args.first() {
            Some(Expr::Lit(literal)) => match &literal.lit {
                Lit::Str(name) => Some(Through::Entry(name.clone())),
                _ => Some(Through::Unknown),
            },
            _ => Some(Through::Unknown),
        }
    }

    /// What a call on the context writes.
    fn write_of(&self, call: &ExprMethodCall, through: Through) -> Written {
        let argument = call.args.first();
        let named = call.turbofish.as_ref().and_then(|turbofish| self.only_type(turbofish));
        let value = || named.clone().or_else(|| argument.and_then(|value| self.type_of(value)));
        let entry = match through {
            Through::Default => Ok(None),
            Through::Entry(name) => Ok(Some(name)),
            Through::Unknown => Err(()),
        };
        let made = |entry: Result<Option<LitStr>, ()>| {
            let (entry, known) = (entry.ok()?, value()?);
            Some(Target { known, entry })
        };
        let changed = || {
            let bound = argument.and_then(|fact| self.fact_of(fact));
            // A type alone does not tell through which entry point the fact came.
            bound.or_else(|| named.clone().map(|known| Target { known, entry: None }))
        };
        let (way, target) = match call.method.to_string().as_str() {
            "insert" | "insert_unique" => (Way::Makes, made(entry)),
            "insert_logical" => (Way::Derives, made(entry)),
            "modify" | "update" => (Way::Updates, changed()),
            "touch" => (Way::Changes, changed()),
            "delete" | "delete_stated" => (Way::Deletes, changed()),
            "emit" => (Way::Emits, made(Ok(None))),
            "set_global" => (Way::SetsGlobal, made(Ok(None))),
            "get" | "query" | "global" | "now" | "random" | "focus" | "clear_group" | "halt"
            | "scope" => return Written::Nothing,
            _ => return Written::Unseen,
        };
        target.map_or(Written::Unseen, |target| Written::Seen(way, Box::new(target)))
    }

    fn only_type(&self, arguments: &AngleBracketedGenericArguments) -> Option<Known> {
        match arguments.args.first() {
            Some(GenericArgument::Type(ty)) => self.known_type(ty),
            _ => None,
        }
    }

    /// A type that means the same in the definition.
    fn known_type(&self, ty: &Type) -> Option<Known> {
        let Type::Path(path) = ty else { return None };
        let plain = path.qself.is_none() && self.names.is_outer(&path.path);
        let last = path.path.segments.last()?;
        (plain && last.arguments.is_empty()).then(|| Known::Type(ty.clone()))
    }

    /// The type of a value that is about to be written.
    fn type_of(&self, expr: &Expr) -> Option<Known> {
        match without_parens(expr) {
            Expr::Struct(literal) if literal.qself.is_none() => {
                let path = &literal.path;
                self.names.is_outer(path).then(|| Known::Shape(quote!(#path { .. })))
            }
            Expr::Call(call) => match &*call.func {
                Expr::Path(function) if function.qself.is_none() => {
                    let path = &function.path;
                    let makes = is_upper(path) && self.names.is_outer(path);
                    makes.then(|| Known::Shape(quote!(#path(..))))
                }
                _ => None,
            },
            Expr::Path(path) if path.qself.is_none() => {
                let bound = path.path.get_ident().and_then(|name| self.lookup(&name.to_string()));
                match bound {
                    Some(Bound::Value(known)) => Some(known.clone()),
                    Some(_) => None,
                    None => {
                        let is_value = is_upper(&path.path) && self.names.is_outer(&path.path);
                        is_value.then(|| Known::Value(path.path.clone()))
                    }
                }
            }
            Expr::MethodCall(call) if call.method == "clone" => {
                match self.root_of(&call.receiver) {
                    Some(Bound::Fact { target, by_reference: true }) => Some(target.known.clone()),
                    Some(Bound::Value(known)) => Some(known.clone()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The fact that an expression names: a variable of the match, or a handle that is known.
    fn fact_of(&self, expr: &Expr) -> Option<Target> {
        let named = match without_parens(expr) {
            Expr::MethodCall(call) if call.method == "handle" => self.root_of(&call.receiver),
            expr => self.root_of(expr),
        };
        match named {
            Some(Bound::Fact { target, .. }) => Some(target.clone()),
            _ => None,
        }
    }

    /// What a `let` binds.
    fn bound_by(&self, init: &Expr) -> Bound {
        match init {
            Expr::Try(inner) => return self.bound_by(&inner.expr),
            Expr::MethodCall(call) if call.method == "unwrap" || call.method == "expect" => {
                return self.bound_by(&call.receiver);
            }
            Expr::MethodCall(call) => {
                if let Some(through) = self.on_context(call) {
                    return match self.write_of(call, through) {
                        Written::Seen(Way::Makes | Way::Derives, target) => {
                            Bound::Fact { target: *target, by_reference: false }
                        }
                        _ => Bound::Unknown,
                    };
                }
            }
            _ => {}
        }
        match self.root_of(init) {
            Some(bound @ Bound::Fact { .. }) if root(init).is_some() => bound.clone(),
            _ => self.type_of(init).map_or(Bound::Unknown, Bound::Value),
        }
    }

    /// What a variable of a written type is.
    fn bound_as(&self, ty: &Type) -> Bound {
        if let Some(last) = last_segment(ty)
            && (last.ident == "Handle" || last.ident == "Ref")
            && let [fact] = type_arguments(last).as_slice()
        {
            let known = self.known_type(fact);
            let target = known.map(|known| Target { known, entry: None });
            return target
                .map_or(Bound::Unknown, |target| Bound::Fact { target, by_reference: false });
        }
        self.known_type(ty).map_or(Bound::Unknown, Bound::Value)
    }

    /// Names that a pattern binds hide what they stood for.
    fn hide(&mut self, pat: &Pat) {
        let mut idents = Idents::default();
        idents.visit_pat(pat);
        idents.0.into_iter().for_each(|name| self.bind(name, Bound::Unknown));
    }

    /// A macro sees its tokens only; the context among them may be used for anything.
    fn names_context(&self, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => {
                matches!(self.lookup(&ident.to_string()), Some(Bound::Context))
            }
            TokenTree::Group(group) => self.names_context(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
}

/// Through which entry point a call on the context goes.
enum Through {
    Default,
    Entry(LitStr),
    Unknown,
}

/// What a call on the context writes.
enum Written {
    Nothing,
    Seen(Way, Box<Target>),
    Unseen,
}

#[derive(Default)]
struct Idents(Vec<String>);

impl<'ast> Visit<'ast> for Idents {
    fn visit_pat_ident(&mut self, pat: &'ast syn::PatIdent) {
        self.0.push(pat.ident.to_string());
        visit::visit_pat_ident(self, pat);
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, _: &'ast Item) {
        // It sees no variable of the function.
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scoped(|walk| visit::visit_block(walk, block));
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            self.visit_local_init(init);
        }
        let init = local.init.as_ref().map(|init| &*init.expr);
        let (pat, ty) = match &local.pat {
            Pat::Type(typed) => (&*typed.pat, Some(&*typed.ty)),
            pat => (pat, None),
        };
        let bound = match (pat, ty, init) {
            (Pat::Ident(_), Some(ty), _) if !matches!(ty, Type::Infer(_)) => self.bound_as(ty),
            (Pat::Ident(_), _, Some(init)) => self.bound_by(init),
            _ => Bound::Unknown,
        };
        match pat {
            Pat::Ident(pat) => self.bind(pat.ident.to_string(), bound),
            other => self.hide(other),
        }
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.scoped(|walk| {
            closure.inputs.iter().for_each(|input| walk.hide(input));
            walk.visit_expr(&closure.body);
        });
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.scoped(|walk| {
            walk.visit_expr(&expr.cond);
            walk.visit_block(&expr.then_branch);
        });
        if let Some((_, otherwise)) = &expr.else_branch {
            self.visit_expr(otherwise);
        }
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.scoped(|walk| {
            walk.visit_expr(&expr.cond);
            walk.visit_block(&expr.body);
        });
    }

    fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
        self.visit_expr(&expr.expr);
        self.hide(&expr.pat);
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        self.visit_expr(&expr.expr);
        self.scoped(|walk| {
            walk.hide(&expr.pat);
            walk.visit_block(&expr.body);
        });
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.scoped(|walk| {
            walk.hide(&arm.pat);
            walk.visit_pat(&arm.pat);
            walk.visit_expr(&arm.body);
        });
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let Some(through) = self.on_context(call) else {
            return visit::visit_expr_method_call(self, call);
        };
        match self.write_of(call, through) {
            Written::Nothing => {}
            Written::Seen(way, target) => self.writes.list.push((way, *target)),
            Written::Unseen => self.writes.unseen = true,
        }
        if call.method == "scope"
            && let Some(Expr::Closure(inner)) = call.args.first()
            && let Some(Pat::Ident(context)) = inner.inputs.first()
        {
            return self.scoped(|walk| {
                walk.bind(context.ident.to_string(), Bound::Context);
                walk.visit_expr(&inner.body);
            });
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        // The context itself, handed on.
        let name = path.path.get_ident().map(ToString::to_string);
        let bound = name.and_then(|name| self.lookup(&name));
        self.writes.unseen |= matches!(bound, Some(Bound::Context));
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.writes.unseen |= self.names_context(mac.tokens.clone());
    }
}

fn without_parens(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => without_parens(&paren.expr),
        Expr::Group(group) => without_parens(&group.expr),
        expr => expr,
    }
}

/// Whether the last segment of a path is written as types, variants and constants are.
fn is_upper(path: &Path) -> bool {
    let last = path.segments.last().map(|last| last.ident.to_string());
    last.is_some_and(|last| last.starts_with(char::is_uppercase))
}

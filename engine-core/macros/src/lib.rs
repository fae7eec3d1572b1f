//! The macros of Steadfast: `derive(Fact)`, `#[rule]` and `ruleset!`.
//!
//! A rule is a plain function. Its parameters are the patterns and carry the conditions as
//! attributes, so that the macro sees the conditions: which of them are index keys, which fields
//! they read, how they read to a person. The compiler checks them on the user's own tokens. The
//! function itself stays what it is and can be called in a test.
//!
//! What a rule expands to is a definition, `RuleDef`: data with function pointers, the same that
//! rules built at run time are made of.
//!
//! # What it is not
//!
//! It holds no engine and depends on none: expansions name the runtime as `::steadfast::__macro`,
//! which is the crate `steadfast`. It keeps no state between two macro calls and reads no files.
//!
//! # Guarantees
//!
//! - A condition is evaluated as written; how it is classified decides its speed, never its result.
//!   Conjuncts are not kept in their order, though: those on the pattern's own fact alone come first,
//!   then keys, ranges, and the rest. A condition that panics where another one is false must be one
//!   conjunct with it: `if` the other `{ … } else { false }`.
//! - The digests of a rule depend on its tokens alone, not on white space, comments or the compiler.
//!   They do not see into functions and constants that a rule uses: when one of these changes its
//!   meaning, raise the version of the ruleset.
//!
//! # Limits
//!
//! Six functions per group, twelve parts of a key as one tuple. A rule cannot be generic.
//!
//! # Example
//!
//! ```
//! # extern crate steadfast_engine_core as steadfast;
//! # use steadfast::{Discard, Engine, FireOptions, Ref, RuleResult, Then};
//! # use steadfast_macros::{Fact, rule, ruleset};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
//! struct Order { #[fact(key)] id: u64, amount: i64, paid: bool }
//! #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
//! struct Payment { order: u64, amount: i64 }
//!
//! #[rule(salience = 10)]
//! fn pay(
//!     #[when(!o.paid)] o: Ref<Order>,
//!     #[when(p.order == o.id && p.amount >= o.amount)] p: &Payment,
//!     cx: &mut Then,
//! ) -> RuleResult {
//!     cx.modify(o, |o| o.paid = true)
//! }
//!
//! ruleset!(shop = 1: pay);
//!
//! let mut engine = Engine::new(&shop(), Default::default(), &mut Discard)?;
//! engine.stage(&mut Discard, |stage| {
//!     stage.insert(Order { id: 7, amount: 30, paid: false })?;
//!     stage.insert(Payment { order: 7, amount: 30 })
//! })?;
//! assert_eq!(engine.fire(FireOptions::default(), &mut Discard).count, 1);
//! assert!(engine.facts::<Order>()[0].paid);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod derive;
mod duration;
mod errors;
mod rule;
mod ruleset;
mod tokens;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use syn::parse::Nothing;
use syn::{DeriveInput, ItemFn, Result, parse_macro_input};

use rule::{RuleArgs, Sort};

/// Makes a struct or an enum a fact.
///
/// The type derives `Clone` and serde's traits itself, and its fields implement `PartialEq`: the
/// difference of two values is a mask of the fields that differ. An enum is one field, `value`.
/// Facts are not generic: a stored name stands for one type.
///
/// # Attributes of the type
///
/// - `#[fact(rename = "…")]`: the stable name in journals; without, the type's own. It stays when the
///   type is renamed.
/// - `#[fact(version = 2)]`: the schema version that this build writes; 1 without.
/// - `#[fact(from = OrderV1)]`: the type that older versions are read as. It is a fact of a lower
///   version, and `From<OrderV1>` converts it; it may itself be read from a still older one.
/// - `#[fact(event)]`: its values are events. An event has a time: the clock at its insertion, or
///   `timestamp = field`; and a duration with `duration = field`, else none. The fields are `i64`, or what
///   converts into it without loss, in milliseconds. With `expires = "5s"` the event is deleted when the
///   clock has come so far behind its end.
/// - `#[fact(unique)]`: inserting a second fact with an equal key is an error.
///
/// # Attributes of fields
///
/// - `#[fact(key)]`: the field is part of the key, in the order of the fields, by which facts are found
///   (`find`). It implements `Hash`.
///   An enum has no key.
/// - `#[fact(derived_key)]`: the field is part of the derived key. Values that rules derive are one fact
///   if they are equal in these fields; it keeps the first value until its last support goes, and may
///   be updated in its other fields. Without such fields they are one fact if they are equal in all.
///
/// A field of type `HashMap` or `HashSet` is refused: its bytes differ between equal values. With a
/// serde attribute, such as one that sorts, it is accepted.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use steadfast::Fact as _;
/// # use steadfast_macros::Fact;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Fact, Clone, Serialize, Deserialize)]
/// #[fact(rename = "Order")]
/// struct OrderV1 { id: u64, cents: i64 }
///
/// #[derive(Fact, Clone, Serialize, Deserialize)]
/// #[fact(version = 2, from = OrderV1, unique)]
/// struct Order { #[fact(key)] id: u64, cents: i64, currency: String }
///
/// impl From<OrderV1> for Order {
///     fn from(OrderV1 { id, cents }: OrderV1) -> Self {
///         Self { id, cents, currency: "EUR".to_owned() }
///     }
/// }
///
/// assert_eq!((Order::NAME, Order::VERSION), ("Order", 2));
/// assert_eq!(Order::FIELDS, ["id", "cents", "currency"]);
/// ```
#[proc_macro_derive(Fact, attributes(fact))]
pub fn derive_fact(input: TokenStream) -> TokenStream {
    derived(derive::fact(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a type an effect: what a consequence can emit to the outside.
///
/// The type derives serde's traits itself.
///
/// - `#[effect(topic = "…")]`: the stable name in journals and outboxes; without, the type's own.
/// - `#[effect(version = 2)]`: the schema version that this build writes; 1 without.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use steadfast::Effect as _;
/// # use steadfast_macros::Effect;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Effect, Serialize, Deserialize)]
/// #[effect(topic = "mail")]
/// struct SendMail { to: String }
///
/// assert_eq!((SendMail::TOPIC, SendMail::VERSION), ("mail", 1));
/// ```
#[proc_macro_derive(Effect, attributes(effect))]
pub fn derive_effect(input: TokenStream) -> TokenStream {
    derived(derive::effect(&parse_macro_input!(input as DeriveInput)))
}

/// Makes a type a global: a session has at most one value of it beside its facts.
///
/// The type derives `Clone` and serde's traits itself. No condition can read a global; what
/// conditions depend on is a fact.
///
/// - `#[global(rename = "…")]`: the stable name in journals; without, the type's own.
/// - `#[global(version = 2)]`: the schema version that this build writes; 1 without.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use steadfast::Global as _;
/// # use steadfast_macros::Global;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Global, Clone, Serialize, Deserialize)]
/// #[global(rename = "limits")]
/// struct Limits { orders_max: u32 }
///
/// assert_eq!(Limits::NAME, "limits");
/// ```
#[proc_macro_derive(Global, attributes(global))]
pub fn derive_global(input: TokenStream) -> TokenStream {
    derived(derive::global(&parse_macro_input!(input as DeriveInput)))
}

#[doc = include_str!("../docs/rule.md")]
#[proc_macro_attribute]
pub fn rule(args: TokenStream, item: TokenStream) -> TokenStream {
    let args = syn::parse::<RuleArgs>(args);
    rule::expand(Sort::Rule, args, &parse_macro_input!(item as ItemFn)).into()
}

/// Makes a function a query: a rule without a consequence.
///
/// Its parameters are those of a [rule](macro@rule) except for the context. It is evaluated
/// incrementally like a rule; asked for, it calls the function once per match, in the order of the
/// matches, and gives what the function returns: an owned value.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use steadfast::{Discard, Engine};
/// # use steadfast_macros::{Fact, query, ruleset};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Fact, Clone, Serialize, Deserialize)]
/// struct Order { id: u64, amount: i64 }
///
/// #[query]
/// fn big(#[when(o.amount >= 1000)] o: &Order) -> u64 {
///     o.id
/// }
///
/// ruleset!(shop = 1: ; queries: big);
///
/// let mut engine = Engine::new(&shop(), Default::default(), &mut Discard)?;
/// engine.stage(&mut Discard, |stage| stage.insert(Order { id: 7, amount: 5000 }))?;
/// engine.flush(&mut Discard)?;
/// assert_eq!(engine.rows::<big>(), Some(vec![7]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[proc_macro_attribute]
pub fn query(args: TokenStream, item: TokenStream) -> TokenStream {
    let args = syn::parse::<Nothing>(args)
        .map(|_| RuleArgs::default())
        .map_err(|error| syn::Error::new(error.span(), "a query takes no arguments"));
    rule::expand(Sort::Query, args, &parse_macro_input!(item as ItemFn)).into()
}

/// Makes a named, versioned and ordered set of rules: a function that gives a `Ruleset`.
///
/// ```text
/// ruleset!(VISIBILITY NAME = VERSION: RULES; queries: QUERIES; facts: TYPES);
/// ```
///
/// - The order of the rules is part of conflict resolution: of two rules with equal salience the
///   earlier one fires first.
/// - The version is mandatory. Raise it when the rules mean something else in a way that their own
///   tokens do not show, such as a changed constant.
/// - `queries:` and `facts:` can be left out. `facts:` names types that no rule reads, so that they
///   can be inserted and a journal that holds them can be opened; `Order from "east"` for those that
///   come through a named entry point.
/// - Attributes and documentation can stand before the visibility.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// # use steadfast::{Ref, RuleResult, Then};
/// # use steadfast_macros::{Fact, rule, ruleset};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Fact, Clone, Serialize, Deserialize)]
/// struct Draft { id: u64 }
/// #[derive(Fact, Clone, Serialize, Deserialize)]
/// struct Archive { id: u64 }
///
/// #[rule]
/// fn discard(d: Ref<Draft>, cx: &mut Then) -> RuleResult {
///     cx.delete(d)?;
///     Ok(())
/// }
///
/// ruleset!(
///     /// What happens to drafts.
///     pub drafts = 2: discard; facts: Archive
/// );
///
/// assert_eq!((drafts().name(), drafts().version()), ("drafts", 2));
/// assert_eq!(drafts().fact_types().len(), 2);
/// ```
#[proc_macro]
pub fn ruleset(input: TokenStream) -> TokenStream {
    ruleset::expand(&parse_macro_input!(input as ruleset::Ruleset)).into()
}

fn derived(expansion: Result<TokenStream2>) -> TokenStream {
    expansion.unwrap_or_else(syn::Error::into_compile_error).into()
}

//! The turn of a rule on the agenda.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};

use super::closures::of_match;
use super::site;
use crate::rule::args::AgendaArgs;
use crate::rule::model::Value;
use crate::tokens::text_of;

/// `AgendaAttributes`.
pub(crate) fn agenda(written: &AgendaArgs, enabled: Option<&Value>) -> TokenStream {
    let AgendaArgs { group, auto_focus, lock_on_active, no_loop, activation_group, .. } = written;
    let group = group.as_deref().unwrap_or("MAIN");
    let string = |name: &str| quote_spanned!(site()=> ::std::string::String::from(#name));
    let option = |value: Option<TokenStream>| {
        let some = |value| quote_spanned!(site()=> ::core::option::Option::Some(#value));
        value.map_or_else(|| quote_spanned!(site()=> ::core::option::Option::None), some)
    };
    let group = string(group);
    let activation_group = option(activation_group.as_deref().map(string));
    let enabled = option(enabled.map(|value| {
        let text = string(&text_of(value.expr.to_token_stream()));
        let evaluate = of_match(value, &quote_spanned!(site()=> bool));
        quote_spanned! {site()=>
            ::steadfast::__macro::Enabled { text: #text, evaluate: #evaluate }
        }
    }));
    quote_spanned! {site()=>
        ::steadfast::__macro::AgendaAttributes {
            group: #group,
            auto_focus: #auto_focus,
            lock_on_active: #lock_on_active,
            no_loop: #no_loop,
            activation_group: #activation_group,
            enabled: #enabled,
        }
    }
}

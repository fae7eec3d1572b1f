//! Digests of a rule: one of what decides when it fires, one of what it then does.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ItemFn;

use super::args::{AgendaArgs, OnError, RuleArgs, Salience};
use super::emit::written;
use super::model::{Analysis, Argument, Condition, FactPattern, GroupPattern, Nested, Part};
use crate::tokens::Digester;

/// Digest of what decides when the rule fires: patterns, conditions, salience and its turn on the agenda,
/// in their order.
pub(crate) fn conditions(branches: &[Analysis], args: &RuleArgs) -> [u8; 16] {
    let mut digester = Digester::new("steadfast conditions 1");
    match &args.salience {
        Salience::Fixed(salience) => digester.word(&salience.to_string()),
        Salience::Of(expr) => {
            digester.word("salience of");
            digester.tokens(expr.to_token_stream());
        }
    }
    args.timing.words().iter().for_each(|word| digester.word(word));
    for (number, branch) in branches.iter().enumerate() {
        if number > 0 {
            digester.word("or");
        }
        list_of_parts(&mut digester, &branch.parts);
    }
    turn(&mut digester, &args.agenda);
    digester.finish()
}

fn list_of_parts(digester: &mut Digester, parts: &[Part]) {
    digester.count(parts.len());
    for part in parts {
        match part {
            Part::Each(pattern) => fact(digester, "each", pattern),
            Part::Not(pattern) => fact(digester, "not", pattern),
            Part::Exists(pattern) => fact(digester, "exists", pattern),
            Part::Group(pattern) => group(digester, pattern),
            Part::Nested(Nested { exists, parts }) => {
                digester.word(if *exists { "exists of" } else { "not of" });
                list_of_parts(digester, parts);
            }
        }
    }
}

/// A rule that says nothing of its turn adds nothing.
fn turn(digester: &mut Digester, agenda: &AgendaArgs) {
    let AgendaArgs { group, auto_focus, lock_on_active, no_loop, activation_group, enabled } =
        agenda;
    for (word, name) in [("group", group), ("activation group", activation_group)] {
        if let Some(name) = name.as_ref().filter(|name| *name != "MAIN" || word != "group") {
            digester.word(word);
            digester.word(name);
        }
    }
    for (word, flag) in
        [("auto focus", auto_focus), ("lock on active", lock_on_active), ("no loop", no_loop)]
    {
        if *flag {
            digester.word(word);
        }
    }
    if let Some(enabled) = enabled {
        digester.word("enabled");
        digester.tokens(enabled.to_token_stream());
    }
}

/// Digest of the right-hand side: parameters, result and body.
pub(crate) fn consequence(function: &ItemFn, analysis: &Analysis, args: &RuleArgs) -> [u8; 16] {
    let mut digester = Digester::new("steadfast consequence 1");
    digester.word(if args.logical.is_some() { "logical" } else { "plain" });
    match &args.on_error {
        OnError::Abort => digester.word("abort"),
        OnError::Skip => digester.word("skip"),
        OnError::SkipIf(function) => {
            digester.word("skip if");
            digester.tokens(function.to_token_stream());
        }
    }
    digester.count(analysis.arguments.len());
    for (argument, input) in analysis.arguments.iter().zip(&function.sig.inputs) {
        if let syn::FnArg::Typed(typed) = input {
            digester.tokens(typed.pat.to_token_stream());
        }
        digester.word(form(argument));
    }
    digester.tokens(function.sig.output.to_token_stream());
    digester.tokens(function.block.to_token_stream());
    digester.finish()
}

/// How the function takes an argument; its type belongs to the conditions.
fn form(argument: &Argument) -> &'static str {
    match argument {
        Argument::Fact(_) => "fact",
        Argument::Handle(_) => "handle",
        Argument::Absent(_) => "absent",
        Argument::Exists(_) => "exists",
        Argument::Forall(_) => "forall",
        Argument::Either(_) => "either",
        Argument::Group { by_value: true, .. } => "group",
        Argument::Group { by_value: false, .. } => "group reference",
        Argument::Having => "having",
        Argument::Then => "then",
    }
}

fn fact(digester: &mut Digester, word: &str, pattern: &FactPattern) {
    digester.word(word);
    digester.word(&pattern.variable.name.to_string());
    digester.tokens(pattern.variable.ty.to_token_stream());
    if let Some(entry) = &pattern.entry {
        digester.word("from");
        digester.word(&entry.value());
    }
    all(digester, &pattern.conditions);
    if let Some(window) = &pattern.window {
        digester.word("window");
        digester.word(&window.words());
    }
    if pattern.distinct {
        digester.word("distinct");
    }
    let watch = pattern.watch.as_ref().map(super::watch::Watch::words).unwrap_or_default();
    digester.count(watch.len());
    for word in &watch {
        digester.word(word);
    }
}

fn group(digester: &mut Digester, group: &GroupPattern) {
    digester.word("group");
    digester.word(&group.variable.name.to_string());
    digester.tokens(group.variable.ty.to_token_stream());
    digester.count(group.elements.len());
    group.elements.iter().for_each(|element| fact(digester, "element", element));
    let by = group.by.iter().map(|key| key.expr.to_token_stream());
    list(digester, by.collect());
    list(digester, group.aggregates.iter().map(written).collect());
    all(digester, &group.having);
}

fn all(digester: &mut Digester, conditions: &[Condition]) {
    list(digester, conditions.iter().map(|condition| condition.written.clone()).collect());
}

fn list(digester: &mut Digester, each: Vec<TokenStream>) {
    digester.count(each.len());
    for tokens in each {
        digester.tokens(tokens);
    }
}

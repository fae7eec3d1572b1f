//! A rule's definition as text, one line per part.

use steadfast::ir::{Comparison, GroupPattern, Part, Pattern, RuleDef, Test};
use steadfast::{FactType, FieldMask};

/// The parts of a rule. A condition stands behind its class, with what it reads behind it:
/// `key p.order == o.id [o.id p.order]`. `*` is every field.
pub(crate) fn parts(rule: &RuleDef) -> Vec<String> {
    describe_parts(&rule.parts, Vec::new())
}

fn describe_parts(parts: &[Part], mut positions: Vec<Position>) -> Vec<String> {
    let mut lines = Vec::new();
    for part in parts {
        match part {
            Part::Each(pattern) => {
                positions.push(Position::of(pattern));
                lines.push(format!("each {}", describe(pattern, &positions)));
            }
            Part::Not(pattern) => lines.push(format!("not {}", inside(pattern, &positions))),
            Part::Exists(pattern) => lines.push(format!("exists {}", inside(pattern, &positions))),
            Part::Nested(nested) => {
                let word = if nested.exists { "exists" } else { "not" };
                lines.push(format!("{word} ("));
                lines.extend(describe_parts(&nested.parts, positions.clone()));
                lines.push(")".to_owned());
            }
            Part::Group(group) => {
                lines.push(describe_group(group, &positions));
                positions.push(Position { variable: group.variable.clone(), fact: None });
                let having = group.having.iter();
                lines.extend(having.map(|test| format!("having {}", condition(test, &positions))));
            }
        }
    }
    lines
}

#[derive(Clone)]
struct Position {
    variable: String,
    /// None for a group.
    fact: Option<FactType>,
}

impl Position {
    fn of(pattern: &Pattern) -> Self {
        Self { variable: pattern.variable.clone(), fact: Some(pattern.fact) }
    }
}

fn inside(pattern: &Pattern, positions: &[Position]) -> String {
    let mut positions = positions.to_vec();
    positions.push(Position::of(pattern));
    describe(pattern, &positions)
}

fn describe(pattern: &Pattern, positions: &[Position]) -> String {
    let mut words = vec![format!("{}: {}", pattern.variable, pattern.fact.stored_name())];
    let conditions = &pattern.conditions;
    let mut add = |class: &str, test: &Test| {
        words.push(format!("{class} {}", condition(test, positions)));
    };
    conditions.alpha.iter().for_each(|test| add("alpha", test));
    conditions.keys.iter().for_each(|key| add("key", &key.test));
    for range in &conditions.ranges {
        let class = match range.comparison {
            Comparison::AtMost => "at most",
            Comparison::AtLeast => "at least",
        };
        add(class, &range.test);
    }
    conditions.residual.iter().for_each(|test| add("residual", test));
    for (word, mask) in [("watch", pattern.watch), ("ignore", pattern.ignore)] {
        if !mask.is_empty() {
            words.push(format!("{word} {}", fields(&pattern.fact, mask).join(" ")));
        }
    }
    words.join("; ")
}

fn describe_group(group: &GroupPattern, positions: &[Position]) -> String {
    let mut positions = positions.to_vec();
    let mut words = vec![format!("group {}: {}", group.variable, group.function_text)];
    if !group.key_text.is_empty() {
        words.push(format!("by {}", group.key_text));
    }
    for element in &group.elements {
        positions.push(Position::of(element));
        words.push(format!("of {}", describe(element, &positions)));
    }
    words.push(format!("reads [{}]", reads(&group.reads, &positions)));
    words.join("; ")
}

fn condition(test: &Test, positions: &[Position]) -> String {
    format!("{} [{}]", test.text, reads(&test.reads, positions))
}

fn reads(reads: &[(usize, FieldMask)], positions: &[Position]) -> String {
    let words = reads.iter().flat_map(|(position, mask)| {
        let Position { variable, fact } = &positions[*position];
        let names = fact.map_or_else(|| vec!["*"], |fact| fields(&fact, *mask));
        names.into_iter().map(move |name| format!("{variable}.{name}"))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn fields(fact: &FactType, mask: FieldMask) -> Vec<&'static str> {
    if mask == FieldMask::ALL {
        return vec!["*"];
    }
    let names = fact.fields().iter().enumerate();
    names.filter(|(at, _)| mask.intersects(FieldMask::field(*at))).map(|(_, name)| *name).collect()
}

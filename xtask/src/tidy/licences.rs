//! The licences of the dependencies are on the list of deny.toml.
//!
//! `cargo deny` checks the same and more; this keeps the promise where it is not installed.

use crate::finding::Finding;
use crate::manifest::{entries, strings};
use crate::metadata::{Metadata, Package};
use crate::tree::Tree;

const WHY: &str = "a user of the library takes on the licences of all of it";

pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let deny = tree.get("deny.toml").map(|file| entries(&file.text)).unwrap_or_default();
    let list = deny.iter().find(|entry| entry.table == "licenses" && entry.key == "allow");
    let Some(list) = list else {
        let fix = "list the licences that we accept as `allow` under [licenses]";
        return vec![Finding::new("deny.toml", 0, "no list of licences", WHY, fix)];
    };
    let allowed = strings(&list.value);
    metadata.theirs().filter_map(|package| check_package(package, &allowed)).collect()
}

fn check_package(package: &Package, allowed: &[&str]) -> Option<Finding> {
    let Package { name, version, license, license_file, .. } = package;
    let what = match (license, license_file) {
        (Some(license), _) if is_allowed(license, allowed) => return None,
        (Some(license), _) => format!("{name} {version} is under `{license}`"),
        (None, Some(_)) => format!("{name} {version} has a licence of its own wording"),
        (None, None) => format!("{name} {version} names no licence"),
    };
    let fix = "use another crate, or add the licence to the list of deny.toml after reading it";
    Some(Finding::new("Cargo.lock", 0, what, WHY, fix))
}

/// Whether the SPDX expression can be met with the allowed licences alone.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    // `MIT/Apache-2.0` is how OR was written before SPDX expressions.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let met = any_of(&mut tokens, allowed);
    met && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut met = all_of(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        met |= all_of(tokens, allowed);
    }
    met
}

fn all_of(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut Tokens<'_>, allowed: &[&str]) -> bool {
    match tokens.next() {
        Some("(") => any_of(tokens, allowed) & tokens.next_if_eq(&")").is_some(),
        Some(licence) if tokens.next_if_eq(&"WITH").is_some() => {
            let exception = tokens.next().unwrap_or_default();
            allowed.contains(&&*format!("{licence} WITH {exception}"))
        }
        Some(licence) => allowed.contains(&licence),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_expression(expression: &str, expected: bool) {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }

    #[test]
    fn expression_is_met_by_the_allowed_licences_alone() {
        check_expression("MIT", true);
        check_expression("GPL-3.0-only", false);
        check_expression("GPL-3.0-only OR MIT", true);
        check_expression("MIT/Zlib", true);
        check_expression("MIT AND BSD-3-Clause", false);
        check_expression("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check_expression("(MIT OR Apache-2.0) AND GPL-2.0", false);
        check_expression("Apache-2.0 WITH LLVM-exception", true);
        check_expression("MIT WITH LLVM-exception", false);
        check_expression("", false);
        check_expression("MIT MIT", false);
    }

    fn package(license: Option<&str>) -> Package {
        Package {
            id: "x".into(),
            name: "x".into(),
            version: "1.0.0".into(),
            license: license.map(Into::into),
            license_file: None,
            rust_version: None,
            dependencies: Vec::new(),
            targets: Vec::new(),
            manifest_path: String::new(),
        }
    }

    #[test]
    fn dependency_under_another_licence_is_found() {
        let metadata = |license| Metadata {
            packages: vec![package(license)],
            workspace_members: Vec::new(),
            workspace_default_members: Vec::new(),
        };
        let tree = Tree::planted(&[("deny.toml", "[licenses]\nallow = [\n    \"MIT\",\n]\n")]);
        let what = |license, tree: &Tree| {
            check(tree, &metadata(license)).into_iter().map(|f| f.what).collect::<Vec<_>>()
        };
        assert!(what(Some("MIT"), &tree).is_empty());
        assert_eq!(what(Some("AGPL-3.0"), &tree), ["x 1.0.0 is under `AGPL-3.0`"]);
        assert_eq!(what(None, &tree), ["x 1.0.0 names no licence"]);
        assert_eq!(what(Some("MIT"), &Tree::planted(&[])), ["no list of licences"]);
    }
}

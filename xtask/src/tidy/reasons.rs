//! Every dependency says why it is there.

use crate::finding::Finding;
use crate::manifest::{Entry, entries, is_dependency_table};
use crate::tree::{File, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.get("Cargo.toml").map(|file| entries(&file.text)).unwrap_or_default();
    let manifests = tree.files.iter().filter(|file| file.name() == "Cargo.toml");
    manifests.flat_map(|file| check_manifest(file, &root)).collect()
}

fn check_manifest(file: &File, root: &[Entry]) -> Vec<Finding> {
    let entries = entries(&file.text);
    let unexplained = entries.iter().filter(|entry| {
        is_dependency_table(&entry.table)
            && !is_ours(entry)
            && entry.comment.is_empty()
            && !is_inherited(entry, root)
    });
    unexplained
        .map(|entry| {
            Finding::new(
                &file.path,
                entry.line,
                format!("`{}` without a reason", name(entry)),
                "a dependency is a cost that somebody must have weighed",
                "say in a comment on its line what it is for",
            )
        })
        .collect()
}

/// `serde.workspace` is about `serde`.
fn name(entry: &Entry) -> &str {
    entry.key.split('.').next().unwrap_or(&entry.key)
}

fn is_ours(entry: &Entry) -> bool {
    let name = name(entry);
    name == "steadfast" || name.starts_with("steadfast-") || entry.value.contains("path =")
}

/// Whether the root's manifest declares it, where the missing reason is found once. What a fuzz
/// crate outside the workspace declares stands for itself.
fn is_inherited(entry: &Entry, root: &[Entry]) -> bool {
    let inherits = entry.key.ends_with(".workspace") || entry.value.contains("workspace = true");
    inherits && root.iter().any(|e| e.table == "workspace.dependencies" && e.key == name(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let findings = check(&Tree::planted(files));
        let found: Vec<_> =
            findings.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn dependency_without_a_reason_is_found() {
        check_files(
            &[(
                "a/Cargo.toml",
                "[package]\nname = \"a\"\n[dependencies]\nx = \"1\"\ny = \"1\" # why\n\
                 [target.'cfg(unix)'.dev-dependencies]\n# because\nz = \"1\"\nw = \"1\"\n",
            )],
            &["a/Cargo.toml:4: `x` without a reason", "a/Cargo.toml:9: `w` without a reason"],
        );
    }

    #[test]
    fn reason_of_an_inherited_dependency_stands_in_the_root() {
        let member = ("a/Cargo.toml", "[dependencies]\nx.workspace = true\n");
        let with = ("Cargo.toml", "[workspace.dependencies]\nx = \"1\" # why\n");
        let without = ("Cargo.toml", "[workspace.dependencies]\nx = \"1\"\n");
        check_files(&[with, member], &[]);
        check_files(&[without, member], &["Cargo.toml:2: `x` without a reason"]);
    }

    #[test]
    fn our_own_crates_need_none() {
        check_files(
            &[(
                "a/Cargo.toml",
                "[dependencies]\nsteadfast-wm.workspace = true\ny = { path = \"y\" }",
            )],
            &[],
        );
    }
}

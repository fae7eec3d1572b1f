//! Who may use whom among the crates of the project.
//!
//! The table is the one of docs/ARCHITECTURE.md. An edge that it does not allow is a finding, for
//! dependencies of every kind; `dev` lists what tests may use in addition.

use std::path::Path;

use crate::finding::Finding;
use crate::metadata::{Metadata, Package};
use crate::tree::{Tree, find_word};

const WHY: &str = "a layer that knows another can no longer be tested or used alone";

struct Layer {
    package: &'static str,
    may_use: &'static [&'static str],
    /// What its tests may use besides.
    dev: &'static [&'static str],
}

const fn layer(
    package: &'static str,
    may_use: &'static [&'static str],
    dev: &'static [&'static str],
) -> Layer {
    Layer { package, may_use, dev }
}

const WM: &str = "steadfast-wm";
const MACROS: &str = "steadfast-macros";
const ENGINE_CORE: &str = "steadfast-engine-core";
const JOURNAL: &str = "steadfast-journal";
const SNAPSHOTTER: &str = "steadfast-snapshotter";
const HA_TRANSPORT: &str = "steadfast-ha-transport";
const HA_ETCD: &str = "steadfast-ha-etcd";
const HA_CERTIFICATES: &str = "steadfast-ha-certificates";
const REPLAY: &str = "steadfast-replay";
const TXN: &str = "steadfast-txn";
const FACADE: &str = "steadfast";
const EVERY_LIBRARY: &[&str] =
    &[WM, MACROS, ENGINE_CORE, JOURNAL, SNAPSHOTTER, HA_TRANSPORT, REPLAY, TXN, FACADE];

/// And what measurements need besides.
const MEASURED: &[&str] = &[
    WM,
    MACROS,
    ENGINE_CORE,
    JOURNAL,
    SNAPSHOTTER,
    HA_TRANSPORT,
    HA_CERTIFICATES,
    REPLAY,
    TXN,
    FACADE,
];

/// Crates that do not exist yet may stand here; a crate that exists must.
const LAYERS: &[Layer] = &[
    layer(WM, &[], &[]),
    // Its output names the engine, so its tests compile against it; the crate itself does not.
    layer(MACROS, &[], &[WM, ENGINE_CORE]),
    layer(ENGINE_CORE, &[WM, MACROS], &[]),
    layer(JOURNAL, &[], &[]),
    layer(SNAPSHOTTER, &[WM, JOURNAL], &[]),
    layer(HA_TRANSPORT, &[JOURNAL], &[]),
    layer(HA_ETCD, &[HA_TRANSPORT], &[HA_CERTIFICATES]),
    // Tests of links are in it, as they need what it makes.
    layer(HA_CERTIFICATES, &[], &[HA_TRANSPORT]),
    layer(REPLAY, &[WM, ENGINE_CORE, JOURNAL, SNAPSHOTTER], &[MACROS]),
    // What roots leave in a journal is its tests' concern.
    layer(TXN, &[WM, ENGINE_CORE], &[MACROS, JOURNAL, SNAPSHOTTER, REPLAY]),
    layer(FACADE, EVERY_LIBRARY, &[]),
    layer("steadfast-benches", MEASURED, &[]),
    layer("xtask", &[], &[]),
];

pub(crate) fn check(tree: &Tree, metadata: &Metadata, root: &Path) -> Vec<Finding> {
    metadata.ours().flat_map(|package| check_package(tree, package, root)).collect()
}

fn check_package(tree: &Tree, package: &Package, root: &Path) -> Vec<Finding> {
    let manifest = package.manifest(root);
    let Some(layer) = LAYERS.iter().find(|layer| layer.package == package.name) else {
        let what = format!("`{}` has no layer", package.name);
        let fix = "give it a line in the table of xtask/src/tidy/layers.rs";
        return vec![Finding::new(&manifest, 0, what, WHY, fix)];
    };
    // INV-02, INV-03, INV-04, INV-07, INV-08, INV-09: the edges among our own crates.
    let forbidden = package.dependencies.iter().filter(|dependency| {
        let ours = LAYERS.iter().any(|layer| layer.package == dependency.name);
        let itself = dependency.name == package.name;
        let dev = dependency.kind.as_deref() == Some("dev");
        let allowed = layer.may_use.contains(&&*dependency.name)
            || (dev && (itself || layer.dev.contains(&&*dependency.name)));
        ours && !allowed
    });
    forbidden
        .map(|dependency| {
            let line = tree.get(&manifest).and_then(|file| {
                file.lines().find(|(_, line)| find_word(line, &dependency.name) == Some(0))
            });
            let what = format!("`{}` depends on `{}`", package.name, dependency.name);
            let fix = "move what is shared down to a crate that both may use, or define a trait \
                       where it is called and wire it in the facade";
            Finding::new(&manifest, line.map_or(0, |(n, _)| n), what, WHY, fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            id: name.into(),
            name: name.into(),
            version: "0.1.0".into(),
            license: None,
            license_file: None,
            rust_version: None,
            dependencies: dependencies
                .iter()
                .map(|&(name, kind)| Dependency { name: name.into(), kind: kind.map(Into::into) })
                .collect(),
            targets: Vec::new(),
            manifest_path: format!("/r/{name}/Cargo.toml"),
        }
    }

    #[track_caller]
    fn check_edges(name: &str, dependencies: &[(&str, Option<&str>)], expected: &[&str]) {
        let tree = Tree::planted(&[(
            "steadfast-journal/Cargo.toml",
            "[dependencies]\nserde = \"1\"\nsteadfast-wm = \"1\"\n",
        )]);
        let findings = check_package(&tree, &package(name, dependencies), Path::new("/r"));
        let found: Vec<_> =
            findings.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
        assert_eq!(found, expected);
    }

    /// INV-04
    #[test]
    fn journal_that_uses_wm_is_found_with_its_line() {
        check_edges(
            "steadfast-journal",
            &[("serde", None), ("steadfast-wm", None)],
            &["steadfast-journal/Cargo.toml:3: `steadfast-journal` depends on `steadfast-wm`"],
        );
    }

    /// INV-03
    #[test]
    fn snapshotter_must_not_link_the_engine_even_in_tests() {
        check_edges(
            "steadfast-snapshotter",
            &[("steadfast-wm", None), ("steadfast-engine-core", Some("dev"))],
            &["steadfast-snapshotter/Cargo.toml:0: `steadfast-snapshotter` depends on \
               `steadfast-engine-core`"],
        );
    }

    /// INV-02
    #[test]
    fn vocabulary_that_uses_a_crate_of_ours_is_found() {
        check_edges(
            "steadfast-wm",
            &[("serde", None), ("steadfast-journal", None)],
            &["steadfast-wm/Cargo.toml:0: `steadfast-wm` depends on `steadfast-journal`"],
        );
    }

    /// INV-07
    #[test]
    fn transport_knows_the_journal_alone() {
        check_edges(
            "steadfast-ha-transport",
            &[("steadfast-journal", None), ("steadfast-replay", Some("dev"))],
            &["steadfast-ha-transport/Cargo.toml:0: `steadfast-ha-transport` depends on \
               `steadfast-replay`"],
        );
    }

    /// INV-08
    #[test]
    fn replay_and_transactions_do_not_know_each_other() {
        let edge = |from: &str, to: &str| {
            check_edges(
                from,
                &[("steadfast-engine-core", None), (to, None)],
                &[&format!("{from}/Cargo.toml:0: `{from}` depends on `{to}`")],
            );
        };
        edge("steadfast-replay", "steadfast-txn");
        edge("steadfast-replay", "steadfast-ha-transport");
        edge("steadfast-txn", "steadfast-replay");
        edge("steadfast-txn", "steadfast-ha-transport");
    }

    #[test]
    fn tests_may_use_more_where_the_table_says_so() {
        check_edges("steadfast-macros", &[("steadfast-engine-core", Some("dev"))], &[]);
        check_edges("steadfast-journal", &[("steadfast-journal", Some("dev"))], &[]);
        check_edges(
            "steadfast-macros",
            &[("steadfast-engine-core", None)],
            &["steadfast-macros/Cargo.toml:0: `steadfast-macros` depends on \
               `steadfast-engine-core`"],
        );
    }

    /// INV-09
    #[test]
    fn facade_may_use_all_and_the_tool_none() {
        check_edges("steadfast", &[("steadfast-txn", None), ("steadfast-ha-transport", None)], &[]);
        check_edges(
            "xtask",
            &[("steadfast-wm", None)],
            &["xtask/Cargo.toml:0: `xtask` depends on `steadfast-wm`"],
        );
    }

    #[test]
    fn crate_without_a_layer_is_found() {
        check_edges(
            "steadfast-new",
            &[],
            &["steadfast-new/Cargo.toml:0: `steadfast-new` has no layer"],
        );
    }
}

//! No dependency needs a newer compiler than we promise to need.

use crate::finding::Finding;
use crate::metadata::{Metadata, Package};

pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    let ours = metadata.ours().filter_map(|p| p.rust_version.as_deref().and_then(parse)).min();
    let Some(ours) = ours else {
        return vec![Finding::new(
            "Cargo.toml",
            0,
            "no `rust-version`",
            "users cannot know which compiler they need",
            "set it in [workspace.package]",
        )];
    };
    metadata.theirs().filter_map(|package| check_package(package, ours)).collect()
}

fn check_package(package: &Package, ours: [u32; 3]) -> Option<Finding> {
    let theirs = package.rust_version.as_deref()?;
    (parse(theirs)? > ours).then(|| {
        let Package { name, version, .. } = package;
        let [major, minor, _] = ours;
        let what = format!("{name} {version} needs Rust {theirs}, we promise {major}.{minor}");
        let why = "the promise of `rust-version` would not hold";
        let fix = "`cargo update NAME --precise` to an older one, or raise ours in a minor release";
        Finding::new("Cargo.lock", 0, what, why, fix)
    })
}

fn parse(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(id: &str, rust_version: Option<&str>) -> Package {
        Package {
            id: id.into(),
            name: id.into(),
            version: "2.0.1".into(),
            license: None,
            license_file: None,
            rust_version: rust_version.map(Into::into),
            dependencies: Vec::new(),
            targets: Vec::new(),
            manifest_path: String::new(),
        }
    }

    #[track_caller]
    fn check_versions(theirs: &[(&str, Option<&str>)], expected: &[&str]) {
        let mut packages = vec![package("ours", Some("1.89"))];
        packages.extend(theirs.iter().map(|(id, version)| package(id, *version)));
        let metadata = Metadata {
            packages,
            workspace_members: vec!["ours".into()],
            workspace_default_members: Vec::new(),
        };
        let found: Vec<_> = check(&metadata).into_iter().map(|f| f.what).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn dependency_that_needs_a_newer_compiler_is_found() {
        check_versions(
            &[("old", Some("1.56")), ("new", Some("1.89.1")), ("silent", None)],
            &["new 2.0.1 needs Rust 1.89.1, we promise 1.89"],
        );
    }

    #[test]
    fn equal_version_is_fine_however_it_is_written() {
        check_versions(&[("a", Some("1.89.0")), ("b", Some("1.9"))], &[]);
    }
}

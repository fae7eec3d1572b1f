//! The part of `cargo metadata` that the checks read.

use std::path::Path;

use serde::Deserialize;

/// Answer of `cargo metadata --format-version 1`.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_default_members: Vec<String>,
}

/// A package of the workspace or of the lock file.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    pub(crate) manifest_path: String,
}

/// A dependency as declared.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// A library, binary, example, test or bench of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    pub(crate) required_features: Vec<String>,
}

impl Metadata {
    /// The packages of this repository.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The packages that a plain `cargo test` covers.
    pub(crate) fn default_members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_default_members.contains(&package.id))
    }

    /// The packages of others that the lock file holds.
    pub(crate) fn theirs(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// Path of the manifest from `root`, with `/`.
    pub(crate) fn manifest(&self, root: &Path) -> String {
        let path = Path::new(&self.manifest_path);
        path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }
}

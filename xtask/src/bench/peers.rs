//! Where the peers are.

use std::path::{Path, PathBuf};

/// The directory that holds the peers: `STEADFAST_PEERS`, or where their setup script puts them.
pub(crate) fn home() -> PathBuf {
    std::env::var_os("STEADFAST_PEERS")
        .map_or_else(|| std::env::temp_dir().join("steadfast-peers"), PathBuf::from)
}

/// What to tell a reader whose rows are missing.
pub(crate) fn how_to_install(what: &str, dir: &Path) -> String {
    format!(
        "no rows against {what}: not found in {}; run the peers' setup script, or name their \
         directory in STEADFAST_PEERS (bench-compare/README.md makes one for rule engines)",
        dir.display()
    )
}

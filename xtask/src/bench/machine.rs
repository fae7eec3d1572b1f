//! Where and on what a bench ran. Figures without it cannot be read.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use crate::workspace::{Workspace, output};

/// The machine; what a system does not tell is `unknown`.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// Load averages at the end of the run: who else was there.
    pub(crate) load: String,
}

impl Machine {
    pub(crate) fn this(workspace: &Workspace) -> Self {
        let unknown = || "unknown".to_owned();
        let first_line = |path: &str| {
            fs::read_to_string(path).ok().and_then(|text| text.lines().next().map(str::to_owned))
        };
        let info = fs::read_to_string("/proc/cpuinfo").map(|text| fields(&text));
        let memory = fs::read_to_string("/proc/meminfo").map(|text| fields(&text));
        let rustc = output(Command::new("rustc").arg("--version").current_dir(&workspace.root));
        let os = std::env::consts::OS;
        let kernel = first_line("/proc/sys/kernel/osrelease");
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.ok().and_then(|fields| mebibytes(fields.get("MemTotal")?)),
            cpu: info.ok().and_then(|f| f.get("model name").cloned()).unwrap_or_else(unknown),
            kernel: kernel.map_or_else(|| os.to_owned(), |release| format!("{os} {release}")),
            rustc: rustc.map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            load: first_line("/proc/loadavg").unwrap_or_else(unknown),
        }
    }
}

/// `key : value` lines; of equal keys the first.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        fields.entry(key.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
    }
    fields
}

fn mebibytes(kibibytes: &str) -> Option<u64> {
    let number = kibibytes.split_whitespace().next()?;
    number.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// The commit that ran, with `-dirty` when the work tree differs from it.
pub(crate) fn commit(workspace: &Workspace) -> Result<String> {
    let git = |args: &[&str]| output(Command::new("git").args(args).current_dir(&workspace.root));
    let head = git(&["rev-parse", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(format!("{}{}", head.trim(), if dirty { "-dirty" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_equal_fields_counts() {
        let fields = fields("processor\t: 0\nmodel name\t: One\nmodel name\t: Two\n");
        assert_eq!(fields["model name"], "One");
    }

    #[test]
    fn memory_is_told_in_mebibytes() {
        assert_eq!(mebibytes("24576 kB"), Some(24));
        assert_eq!(mebibytes(""), None);
    }

    #[test]
    fn machine_and_commit_are_known_here() {
        let workspace = Workspace::find().expect("tests run inside the repository");
        let machine = Machine::this(&workspace);
        assert!(machine.cores > 0);
        assert!(machine.rustc.starts_with("rustc "), "{machine:?}");
        assert!(commit(&workspace).expect("git is there").len() >= 40);
    }
}

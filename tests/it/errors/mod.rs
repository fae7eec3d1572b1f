//! Every error of the facade that can be provoked, with its stable code and its whole report, and
//! what is left afterwards. `docs/errors.md` has a section for each code.

mod built;
mod journal;
mod large;
mod limits;
mod nodes;
mod rules;
mod transactions;
mod types;
mod work;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use steadfast::Error;

use crate::support::Disk;

/// An error's report, with the session's directory named `DIR`.
fn report(error: &Error, disk: &Disk) -> String {
    let report = error.report().replace(&*disk.path().to_string_lossy(), "DIR");
    assert!(report.starts_with(&format!("error {}: ", error.code())), "{report}");
    assert!(report.ends_with(error.help()), "{report}");
    report
}

/// All files below a directory with their bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

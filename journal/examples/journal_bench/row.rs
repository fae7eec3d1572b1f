//! One line of output.

use std::fmt;

/// A comparison.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) size: u64,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) against: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) higher_is_better: bool,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{\"work\":\"{}\",\"size\":{},\"ours\":{:.3},\"theirs\":{:.3},\"against\":\"{}\",\
             \"unit\":\"{}\",\"higher_is_better\":{}}}",
            self.work,
            self.size,
            self.ours,
            self.theirs,
            self.against,
            self.unit,
            self.higher_is_better
        )
    }
}

/// The middle one of some figures.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

//! What the measuring programs share: their arguments, and the lines that they print.
//!
//! Each binary here measures one thing and prints one JSON object a line; `cargo xtask bench NAME` runs
//! it, adds the peers' figures and makes tables and plots of it.
#![expect(clippy::print_stdout, reason = "measuring programs talk to xtask over stdout")]

use std::time::{Duration, Instant};

/// The arguments of a measuring program.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// How many samples of each work.
    pub samples: usize,
    /// Smaller works, where there is a choice.
    pub quick: bool,
}

impl Args {
    /// Reads `--samples K` and `--quick`; anything else is ignored.
    pub fn from_env() -> Self {
        let mut args = Self { samples: 5, quick: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--samples" => {
                    args.samples = words.next().and_then(|count| count.parse().ok()).unwrap_or(5);
                }
                "--quick" => args.quick = true,
                _ => {}
            }
        }
        args
    }
}

/// Prints one run of a work that other engines run too; `checksum` is compared with theirs.
pub fn print_sample(work: &str, size: u64, time: Duration, checksum: &str) {
    let seconds = time.as_secs_f64();
    println!(
        "{{\"sample\":\"{work}\",\"size\":{size},\"seconds\":{seconds},\"checksum\":\"{checksum}\"}}"
    );
}

/// Two figures of one interleaved run.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The work.
    pub work: &'a str,
    /// Its size.
    pub size: u64,
    /// What ours is compared with.
    pub against: &'a str,
    /// Our figure.
    pub ours: f64,
    /// The other one.
    pub theirs: f64,
    /// Their unit.
    pub unit: &'a str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The ratio that is wanted.
    pub target: Option<f64>,
}

impl Pair<'_> {
    /// Prints it.
    pub fn print(&self) {
        let Self { work, size, against, ours, theirs, unit, higher_is_better, target } = self;
        let target = target.map_or_else(|| "null".to_owned(), |target| target.to_string());
        println!(
            "{{\"work\":\"{work}\",\"size\":{size},\"against\":\"{against}\",\"ours\":{ours},\
             \"theirs\":{theirs},\"unit\":\"{unit}\",\"higher_is_better\":{higher_is_better},\
             \"target\":{target}}}"
        );
    }
}

/// Prints one point of a growth curve: what one operation of a work costs, in nanoseconds, at a size.
pub fn print_point(curve: &str, size: u64, cost: f64) {
    println!("{{\"curve\":\"{curve}\",\"size\":{size},\"cost\":{cost}}}");
}

/// Prints a note for the reader of the table.
pub fn print_note(note: &str) {
    println!("{{\"note\":\"{note}\"}}");
}

/// How long something takes.
pub fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// The median of some times, in seconds.
pub fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

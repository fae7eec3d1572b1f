//! Rule workloads against other rule engines.
//!
//! Our side is a program of `benches/` that prints samples; the peers' side is their harness, a script
//! `rules/run.sh WORKLOAD ENGINE SIZE` that prints one line for each run. Rounds of both alternate,
//! so that a change of the machine's mood hits both. Before a figure is compared, the answers are:
//! checksums must be equal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, output};

use super::program::Program;
use super::row::{Line, Measured, Note, Pair, Point, Sample, median, median_pairs};
use super::{Bench, Effort, Request, peers, profiled};

/// A rule engine that the harness can run.
#[derive(Debug, Clone, Copy)]
struct Engine {
    name: &'static str,
    /// What its build leaves behind, below `rules/`.
    artifact: &'static str,
    /// The works that it has and does within minutes.
    works: &'static [&'static str],
}

/// Behind the name of a work: the first run of a fresh process.
const FIRST_RUN: &str = ", first run";

const ENGINES: &[Engine] = &[
    Engine {
        name: "drools-tuned",
        artifact: "drools/classes/bench/Run.class",
        works: &[
            "alpha10",
            "alpha100",
            "alphahash",
            "join2",
            "join3",
            "update",
            "updjoin",
            "updjoinB",
            "acc",
            "accB",
            "groupby",
            "groupbyB",
            "not",
            "exists",
            "manners",
            "waltz",
        ],
    },
    Engine {
        name: "clips6.40",
        artifact: "clips/driver64",
        works: &[
            "alpha10",
            "alphahash",
            "join2",
            "join3",
            "update",
            "updjoin",
            "updjoinB",
            "tms",
            "not",
            "exists",
            "waltz",
        ],
    },
    Engine {
        name: "dd",
        artifact: "rust-peers/target/release/rust-peers",
        works: &[
            "alpha10", "alpha100", "join2", "join3", "update", "updjoin", "updjoinB", "acc",
            "accB", "groupby", "groupbyB", "not", "exists",
        ],
    },
    // Hash maps without an engine: the lower bound.
    Engine {
        name: "hand",
        artifact: "rust-peers/target/release/rust-peers",
        works: &[
            "alpha10", "alpha100", "join2", "join3", "update", "updjoin", "updjoinB", "acc",
            "accB", "groupby", "groupbyB",
        ],
    },
    // The strategy that suits this work best.
    Engine { name: "clips6.40-depth", artifact: "clips/driver64", works: &["manners"] },
    // A fresh virtual machine for each run.
    Engine {
        name: "drools-cold",
        artifact: "drools/classes/bench/Run.class",
        works: &["join3, first run"],
    },
];

impl Engine {
    /// Whether it is asked for a work; in a quick run only where there is a target.
    fn is_asked(&self, work: &str, effort: Effort) -> bool {
        self.works.contains(&work) && (!effort.is_quick() || target(work, self.name).is_some())
    }
}

/// What a profile is taken of: the works of quick runs, once each. The others are measured untrained.
const TRAINING: &[&str] = &["--quick", "--apart", "--cold", "--samples", "1"];

/// Workloads, engine, and the ratio that we want against it.
const TARGETS: &[(&[&str], &str, f64)] = &[
    (&["alpha10", "alphahash", "join2", "join3"], "drools-tuned", 4.0),
    (&["join2", "join3"], "clips6.40", 20.0),
    (&["join2", "join3"], "hand", 1.0 / 1.6),
    (&["update"], "drools-tuned", 8.0),
    (&["updjoin", "acc", "groupby"], "drools-tuned", 6.0),
    (&["updjoinB", "accB", "groupbyB", "not", "exists"], "drools-tuned", 5.0),
    (&["updjoinB"], "dd", 2.0),
    (&["accB", "groupbyB", "not", "exists"], "dd", 1.5),
    (&["tms"], "clips6.40", 4.0),
    (&["manners", "waltz"], "drools-tuned", 5.0),
    (&["manners"], "clips6.40-depth", 5.0),
    (&["waltz"], "clips6.40", 5.0),
    (&["join3, first run"], "drools-cold", 20.0),
];

/// Measures the bench's program against every engine that is there.
pub(super) fn run(workspace: &Workspace, bench: &Bench, request: Request<'_>) -> Result<Measured> {
    let program = Program::of_benches(workspace, bench.name);
    program.build()?;
    against_engines(&program, request, || Ok(Vec::new()))
}

/// As [`run`], with the first run of fresh processes, memory, and growth.
pub(super) fn run_engine(
    workspace: &Workspace,
    bench: &Bench,
    request: Request<'_>,
) -> Result<Measured> {
    let mut program = Program::of_benches(workspace, bench.name);
    if request.profiled {
        program = program.built_at(profiled::build(workspace, bench.name, TRAINING)?);
    } else {
        program.build()?;
    }
    let is_asked = |what: &str| request.only.is_none_or(|only| what.starts_with(only));
    let first_run = || {
        let args: &[&str] = &["--first", "--only", "join3"];
        if is_asked("first") { program.run_plainly(args) } else { Ok(Vec::new()) }
    };
    let works = ["first", "memory", "growth"];
    let only_those = request.only.is_some_and(|only| works.iter().any(|it| it.starts_with(only)));
    let mut measured = if only_those && !is_asked("first") {
        Measured::default()
    } else {
        against_engines(&program, request, first_run)?
    };
    if is_asked("memory") {
        measured.extend(program.run_plainly(&["--memory"])?);
    }
    if is_asked("growth") && !request.effort.is_quick() {
        measured.extend(program.run(&["--growth", "--samples", "3"])?);
    }
    Ok(measured)
}

/// Rounds of the program, of what it is run for beside, and of the engines.
fn against_engines(
    program: &Program<'_>,
    Request { effort, only, .. }: Request<'_>,
    beside: impl Fn() -> Result<Vec<Line>>,
) -> Result<Measured> {
    let harness = Harness { rules: peers::home().join("rules"), effort };
    let (engines, notes) = harness.engines();
    let mut args =
        if effort.is_quick() { vec!["--samples", "3", "--quick"] } else { vec!["--samples", "5"] };
    if let Some(only) = only {
        args.extend(["--only", only]);
    }
    // As the harness runs its engines.
    args.push("--apart");
    let mut measured = interleave(
        || {
            let mut lines = program.run(&args)?;
            lines.extend(beside()?);
            Ok(lines)
        },
        |engine, work, size| harness.run(engine, work, size),
        &engines,
        effort,
    )?;
    measured.notes.extend(notes);
    Ok(measured)
}

/// The peers' harness.
struct Harness {
    rules: PathBuf,
    effort: Effort,
}

impl Harness {
    /// The engines that are built, and a note for each that is not.
    fn engines(&self) -> (Vec<Engine>, Vec<String>) {
        if !self.rules.join("run.sh").is_file() {
            return (Vec::new(), vec![peers::how_to_install("rule engines", &self.rules)]);
        }
        let is_built = |engine: &&Engine| self.rules.join(engine.artifact).exists();
        if !self.effort.is_quick() && !ENGINES.iter().all(|engine| is_built(&engine)) {
            // It builds what it can; what it cannot is missing below.
            drop(output(self.script().arg("--list")));
        }
        let (built, missing): (Vec<_>, Vec<_>) = ENGINES.iter().partition(is_built);
        let note = |engine: &Engine| {
            format!("no rows against {}: not built; `rules/run.sh --list` builds it", engine.name)
        };
        (built, missing.iter().map(note).collect())
    }

    fn script(&self) -> Command {
        let mut command = Command::new(self.rules.join("run.sh"));
        // It looks for what cargo builds in the directory beside the sources.
        command.current_dir(&self.rules).env_remove("CARGO_TARGET_DIR");
        // Rounds are repeated as long as there is time, so that one process of an engine need not repeat
        // its work often: the harness alone would take half an hour for one round.
        if self.effort.is_quick() {
            command.env("WARM", "4").env("REPS", "2").env("LIMIT", "40");
        } else {
            command.env("REPS", "1").env("LIMIT", "120");
        }
        command
    }

    fn run(&self, engine: &str, work: &str, size: u64) -> Result<Answer> {
        let work = work.trim_end_matches(FIRST_RUN);
        let text = output(self.script().args([work, engine, &size.to_string()]))?;
        Answer::find(&text, work, engine)
            .with_context(|| format!("the harness has no line for {work} {engine} {size}"))?
    }
}

/// One line of the harness: `workload engine size seconds ops_per_s peak_rss_mb checksum …`.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    seconds: f64,
    checksum: String,
}

impl Answer {
    /// The line of this workload and engine; `None` without one, an error when it tells of a failure.
    fn find(text: &str, work: &str, engine: &str) -> Option<Result<Self>> {
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let line =
            text.lines().map(fields).find(|f| f.len() > 3 && f[0] == work && f[1] == engine)?;
        let answer = match (line[3].parse(), line.get(6)) {
            (Ok(seconds), Some(checksum)) => Ok(Self { seconds, checksum: checksum.clone() }),
            _ => Err(anyhow::anyhow!("{}", line.join(" "))),
        };
        Some(answer)
    }
}

type Key = (String, u64);

/// What all rounds have brought.
#[derive(Default)]
struct Rounds {
    /// In the order in which our program tells them.
    works: Vec<Key>,
    ours: BTreeMap<Key, Vec<Answer>>,
    theirs: BTreeMap<(&'static str, Key), Vec<Answer>>,
    failures: BTreeMap<(&'static str, Key), String>,
    pairs: Vec<Pair>,
    points: Vec<Point>,
    notes: BTreeSet<String>,
}

fn interleave(
    mut ours: impl FnMut() -> Result<Vec<Line>>,
    mut theirs: impl FnMut(&'static str, &str, u64) -> Result<Answer>,
    engines: &[Engine],
    effort: Effort,
) -> Result<Measured> {
    let rounds_max = if effort.is_quick() { 3 } else { 7 };
    let start = Instant::now();
    let mut rounds = Rounds::default();
    for round in 0..rounds_max {
        let round_start = Instant::now();
        // The order changes from round to round; in the first, ours tells what there is to do.
        let ours_first = round % 2 == 0;
        if ours_first {
            rounds.add_ours(ours()?);
        }
        for engine @ &Engine { name, .. } in engines {
            for key in rounds.works.clone() {
                let failed = rounds.failures.contains_key(&(name, key.clone()));
                if engine.is_asked(&key.0, effort) && !failed {
                    let answer = theirs(name, &key.0, key.1);
                    rounds.add_theirs(name, key, answer);
                }
            }
        }
        if !ours_first {
            rounds.add_ours(ours()?);
        }
        if start.elapsed() + round_start.elapsed() > effort.budget() {
            break;
        }
    }
    if rounds.works.is_empty() && rounds.pairs.is_empty() {
        bail!("the measuring program printed neither samples nor rows");
    }
    Ok(rounds.merge(engines))
}

impl Rounds {
    fn add_ours(&mut self, lines: Vec<Line>) {
        for line in lines {
            match line {
                Line::Sample(Sample { work, size, seconds, checksum }) => {
                    let key = (work, size);
                    if !self.works.contains(&key) {
                        self.works.push(key.clone());
                    }
                    self.ours.entry(key).or_default().push(Answer { seconds, checksum });
                }
                Line::Pair(pair) => self.pairs.push(pair),
                Line::Note(Note { note }) => {
                    self.notes.insert(note);
                }
                Line::Point(point) => self.points.push(point),
            }
        }
    }

    fn add_theirs(&mut self, engine: &'static str, key: Key, answer: Result<Answer>) {
        match answer {
            Ok(answer) => self.theirs.entry((engine, key)).or_default().push(answer),
            Err(error) => {
                self.failures.insert((engine, key), format!("{error:#}"));
            }
        }
    }

    fn merge(self, engines: &[Engine]) -> Measured {
        let (notes, points) = (self.notes.into_iter().collect(), self.points);
        let mut measured = Measured { points, notes, ..<_>::default() };
        for pair in median_pairs(&self.pairs).iter().filter(|pair| pair.theirs.is_some()) {
            measured.push(pair);
        }
        for key in &self.works {
            let (work, size) = key;
            let ours = &self.ours[key];
            for &Engine { name: engine, .. } in engines {
                let at = (engine, key.clone());
                if let Some(failure) = self.failures.get(&at) {
                    measured.notes.push(format!("no row {work} against {engine}: {failure}"));
                }
                let Some(theirs) = self.theirs.get(&at) else {
                    continue;
                };
                let checksums = |answers: &[Answer]| -> BTreeSet<String> {
                    answers.iter().map(|answer| answer.checksum.clone()).collect()
                };
                let (our_sums, their_sums) = (checksums(ours), checksums(theirs));
                if our_sums.len() != 1 || our_sums != their_sums {
                    measured.refuse(format!(
                        "{work} {size} against {engine}: checksums differ: ours {our_sums:?}, \
                         theirs {their_sums:?}"
                    ));
                    continue;
                }
                let seconds = |answers: &[Answer]| median(answers.iter().map(|a| a.seconds));
                measured.push(&Pair {
                    work: work.clone(),
                    size: *size,
                    against: engine.to_owned(),
                    ours: seconds(ours).unwrap_or(f64::NAN),
                    theirs: seconds(theirs),
                    unit: "s".to_owned(),
                    higher_is_better: false,
                    target: target(work, engine),
                });
            }
        }
        measured
    }
}

fn target(work: &str, engine: &str) -> Option<f64> {
    let row = TARGETS.iter().find(|(works, name, _)| *name == engine && works.contains(&work));
    row.map(|(_, _, target)| *target)
}

#[cfg(test)]
mod tests;

//! What measuring programs print, and the rows that become of it.

use serde::{Deserialize, Serialize};

/// One line of a measuring program that is JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Pair(Pair),
    Sample(Sample),
    Point(Point),
    Note(Note),
}

/// One work, measured on both sides by the program itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Pair {
    pub(crate) work: String,
    pub(crate) size: u64,
    pub(crate) against: String,
    pub(crate) ours: f64,
    /// Absent where only our own figure is told, for peers that are measured elsewhere.
    pub(crate) theirs: Option<f64>,
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) higher_is_better: bool,
    #[serde(default)]
    pub(crate) target: Option<f64>,
}

/// One run of one work on our side.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Sample {
    #[serde(rename = "sample")]
    pub(crate) work: String,
    pub(crate) size: u64,
    pub(crate) seconds: f64,
    pub(crate) checksum: String,
}

/// One point of a growth curve.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct Point {
    /// The work.
    pub(crate) curve: String,
    pub(crate) size: u64,
    /// Of one operation, in nanoseconds.
    pub(crate) cost: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Note {
    pub(crate) note: String,
}

/// One line of the result: ours against one peer, or against a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) size: u64,
    pub(crate) against: String,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) unit: String,
    /// Above 1 ours is better, whichever way the unit counts.
    pub(crate) ratio: f64,
    /// The ratio that we want to reach.
    pub(crate) target: Option<f64>,
}

impl Row {
    /// `None` when a figure is no positive number, from which no ratio can be taken.
    pub(crate) fn new(pair: &Pair) -> Option<Self> {
        let Pair { work, size, against, ours, unit, higher_is_better, target, .. } = pair.clone();
        let theirs = pair.theirs?;
        let measured = |x: f64| x.is_finite() && x > 0.0;
        (measured(ours) && measured(theirs)).then(|| {
            let ratio = if higher_is_better { ours / theirs } else { theirs / ours };
            Self { work, size, against, ours, theirs, unit, ratio, target }
        })
    }

    /// Whether the target is reached; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.target.map(|target| self.ratio >= target)
    }
}

/// Pairs of several runs as one of each: the median of either side.
pub(crate) fn median_pairs(runs: &[Pair]) -> Vec<Pair> {
    let is_same = |a: &Pair, b: &Pair| {
        (&a.work, a.size, &a.against, &a.unit) == (&b.work, b.size, &b.against, &b.unit)
    };
    let mut pairs: Vec<Pair> = Vec::new();
    for run in runs {
        if pairs.iter().any(|pair| is_same(pair, run)) {
            continue;
        }
        let same = || runs.iter().filter(|other| is_same(run, other));
        let ours = median(same().map(|pair| pair.ours)).unwrap_or(run.ours);
        let theirs = median(same().filter_map(|pair| pair.theirs));
        pairs.push(Pair { ours, theirs, ..run.clone() });
    }
    pairs
}

/// Everything that one bench has found.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    /// Points of growth curves, in the order of their sizes.
    pub(crate) points: Vec<Point>,
    /// What a reader of the rows should know, such as which peers are missing.
    pub(crate) notes: Vec<String>,
    /// Comparisons that are none: another answer, or no figure.
    pub(crate) refused: Vec<String>,
}

impl Measured {
    /// The rows of a program that measures both sides itself.
    pub(crate) fn from_lines(lines: Vec<Line>) -> Self {
        let mut measured = Self::default();
        measured.extend(lines);
        measured
    }

    /// Adds the rows, points and notes of a program that measures both sides itself.
    pub(crate) fn extend(&mut self, lines: Vec<Line>) {
        for line in lines {
            match line {
                Line::Pair(pair) if pair.theirs.is_some() => self.push(&pair),
                Line::Note(Note { note }) => self.notes.push(note),
                Line::Point(point) => self.points.push(point),
                Line::Pair(_) | Line::Sample(_) => {}
            }
        }
    }

    pub(crate) fn push(&mut self, pair: &Pair) {
        match Row::new(pair) {
            Some(row) => self.rows.push(row),
            None => self.refuse(format!(
                "{} {} against {}: ours {:?}, theirs {:?} is no measurement",
                pair.work, pair.size, pair.against, pair.ours, pair.theirs
            )),
        }
    }

    /// Brings the rows of each work together, works in the order in which they first appear.
    pub(crate) fn group_by_work(&mut self) {
        let works: Vec<_> = self.rows.iter().map(|row| (row.work.clone(), row.size)).collect();
        let first = |row: &Row| works.iter().position(|w| (&w.0, w.1) == (&row.work, row.size));
        self.rows.sort_by_key(first);
    }

    pub(crate) fn refuse(&mut self, why: String) {
        eprintln!("REFUSED: {why}");
        self.refused.push(why);
    }
}

/// The middle of the values, or the mean of the two in the middle; `None` of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).expect("a line that programs print")
    }

    #[test]
    fn ratio_above_one_means_ours_is_better_for_times_and_for_rates() {
        let time = r#"{"work":"commit","size":10,"against":"raw","ours":2.0,"theirs":3.0,
            "unit":"us","higher_is_better":false,"target":0.9}"#;
        let rate = r#"{"work":"scan","size":10,"against":"raw","ours":30,"theirs":10,
            "unit":"1/s","higher_is_better":true,"target":4}"#;
        let measured = Measured::from_lines(vec![line(time), line(rate)]);
        let found: Vec<_> = measured.rows.iter().map(|row| (row.ratio, row.is_met())).collect();
        assert_eq!(found, [(1.5, Some(true)), (3.0, Some(false))]);
    }

    #[test]
    fn notes_are_kept_and_own_figures_give_no_row() {
        let own = r#"{"work":"process","size":1,"against":"","ours":5,"theirs":null,"unit":"1/s"}"#;
        let measured = Measured::from_lines(vec![line(own), line(r#"{"note":"map mode"}"#)]);
        assert_eq!(measured.notes, ["map mode"]);
        assert!(measured.rows.is_empty() && measured.refused.is_empty());
    }

    #[test]
    fn figure_that_is_no_measurement_is_refused() {
        let zero = r#"{"work":"a","size":1,"against":"b","ours":0,"theirs":1,"unit":"s"}"#;
        let measured = Measured::from_lines(vec![line(zero)]);
        assert!(measured.rows.is_empty());
        assert_eq!(measured.refused.len(), 1);
    }

    #[test]
    fn rows_of_one_work_stand_together() {
        let row = |work: &str, against: &str| {
            let text = format!(
                r#"{{"work":"{work}","size":1,"against":"{against}","ours":1,"theirs":1,"unit":"s"}}"#
            );
            line(&text)
        };
        let lines = vec![row("b", "x"), row("a", "x"), row("b", "y"), row("a", "y")];
        let mut measured = Measured::from_lines(lines);
        measured.group_by_work();
        let order: Vec<_> =
            measured.rows.iter().map(|r| format!("{}{}", r.work, r.against)).collect();
        assert_eq!(order, ["bx", "by", "ax", "ay"]);
    }

    #[test]
    fn several_runs_become_the_median_of_either_side() {
        let pair = |ours: f64, theirs: f64| Pair {
            work: "w".into(),
            size: 1,
            against: "a".into(),
            ours,
            theirs: Some(theirs),
            unit: "s".into(),
            higher_is_better: false,
            target: None,
        };
        let other = Pair { against: "b".into(), theirs: None, ..pair(5.0, 0.0) };
        let runs = [pair(1.0, 9.0), other.clone(), pair(3.0, 7.0), pair(2.0, 8.0)];
        assert_eq!(median_pairs(&runs), [pair(2.0, 8.0), other]);
    }

    #[test]
    fn sample_is_told_from_a_row() {
        let text = r#"{"sample":"join3","size":100000,"seconds":0.05,"checksum":"1:2"}"#;
        assert!(matches!(line(text), Line::Sample(s) if s.work == "join3" && s.size == 100_000));
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }
}

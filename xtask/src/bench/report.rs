//! Writes and prints what a bench has found.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::Machine;
use super::row::{Measured, Point, Row};
use super::{Effort, curves, plot};

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a Machine,
    commit: &'a str,
    quick: bool,
    rows: &'a [Row],
    points: &'a [Point],
    notes: &'a [String],
    refused: &'a [String],
}

/// Writes target/bench/NAME.json and NAME.svg and prints the rows as a table.
pub(crate) fn write(
    root: &Path,
    name: &str,
    effort: Effort,
    machine: &Machine,
    commit: &str,
    measured: &Measured,
) -> Result<()> {
    let dir = root.join("target/bench");
    fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    let Measured { rows, points, notes, refused } = measured;
    let report = Report { machine, commit, quick: effort.is_quick(), rows, points, notes, refused };
    let json = dir.join(format!("{name}.json"));
    fs::write(&json, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("failed to write {}", json.display()))?;
    if !rows.is_empty() {
        let caption = format!("{name} · {} · {} cores · {commit:.12}", machine.cpu, machine.cores);
        plot::write(&dir.join(format!("{name}.svg")), &caption, rows)?;
    }
    if !points.is_empty() {
        let caption = format!("{name}, growth · {} · {commit:.12}", machine.cpu);
        curves::write(&dir.join(format!("{name}-growth.svg")), &caption, points)?;
    }
    println!("{}, {} cores, {}, {}", machine.cpu, machine.cores, machine.kernel, machine.rustc);
    println!("commit {commit}, load {}", machine.load);
    print!("{}", table(rows));
    for note in notes {
        println!("note: {note}");
    }
    for refused in refused {
        println!("REFUSED: {refused}");
    }
    println!("written: target/bench/{name}.json");
    Ok(())
}

/// The rows in columns. A ratio above 1 means that ours is better.
fn table(rows: &[Row]) -> String {
    let head = ["work", "size", "against", "ours", "theirs", "unit", "ratio", "target", ""];
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let verdict = match row.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        lines.push([
            row.work.clone(),
            row.size.to_string(),
            row.against.clone(),
            figure(row.ours),
            figure(row.theirs),
            row.unit.clone(),
            format!("{:.2}", row.ratio),
            row.target.map_or_else(String::new, |target| format!("{target:.2}")),
            verdict.to_owned(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let is_text = matches!(column, 0 | 2 | 5 | 8);
            let cell = if is_text { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
            let _ = write!(text, "{cell}  "); // a String takes everything
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Four significant digits; large numbers without a fraction.
fn figure(value: f64) -> String {
    match value.abs() {
        x if x >= 1000.0 => format!("{value:.0}"),
        x if x >= 1.0 => format!("{value:.3}"),
        x if x >= 0.001 => format!("{value:.5}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(against: &str, ratio: f64, target: Option<f64>) -> Row {
        Row {
            work: "join3".into(),
            size: 100_000,
            against: against.into(),
            ours: 0.05,
            theirs: 0.05 * ratio,
            unit: "s".into(),
            ratio,
            target,
        }
    }

    #[test]
    fn table_lines_up_and_says_what_is_missed() {
        let rows = [row("drools-tuned", 4.0, Some(4.0)), row("hand", 0.5, Some(0.625))];
        let expected = "\
work     size  against          ours   theirs  unit  ratio  target
join3  100000  drools-tuned  0.05000  0.20000  s      4.00    4.00  met
join3  100000  hand          0.05000  0.02500  s      0.50    0.62  MISSED
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn report_is_written_as_json_and_as_a_picture() {
        let root = tempfile::tempdir().expect("a directory");
        let machine = Machine {
            cores: 2,
            memory_mib: Some(1024),
            cpu: "C".into(),
            kernel: "linux 6".into(),
            rustc: "rustc 1.89".into(),
            load: "0".into(),
        };
        let rows = vec![row("hand", 0.5, None)];
        let point = |size, cost| Point { curve: "join3".into(), size, cost };
        let points = vec![point(10_000, 90.0), point(100_000, 120.0)];
        let (notes, refused) = (vec!["n".into()], Vec::new());
        let measured = Measured { rows, points, notes, refused };
        write(root.path(), "join", Effort::Quick, &machine, "abc", &measured).expect("written");
        let json = fs::read_to_string(root.path().join("target/bench/join.json")).expect("json");
        let value: serde_json::Value = serde_json::from_str(&json).expect("valid");
        assert_eq!(value["machine"]["cores"], 2);
        assert_eq!(value["commit"], "abc");
        assert_eq!(value["rows"][0]["against"], "hand");
        assert_eq!(value["rows"][0]["target"], serde_json::Value::Null);
        assert_eq!(value["notes"][0], "n");
        let svg = fs::read_to_string(root.path().join("target/bench/join.svg")).expect("svg");
        assert!(svg.contains("<svg") && svg.contains("hand"), "{svg}");
        let curves = root.path().join("target/bench/join-growth.svg");
        let curves = fs::read_to_string(curves).expect("svg");
        assert!(curves.contains("<polyline") && curves.contains("join3"), "{curves}");
    }
}

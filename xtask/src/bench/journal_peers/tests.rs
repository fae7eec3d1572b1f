//! The reading of the contenders' lines and the merging with ours, shown planted output.

use super::*;

const RAFT_ENGINE: &str = "\
raft-engine    | nosync rec/s: 1428k | nosync cpu ns/rec: 208 | disk B/rec: 107 | close ms: 91 | \
scan rec/s (first/best): 1257k/1300k | sync batch/s: 285 | sync p50/p99 us: 3282/15993 | \
group8 batch/s: 1879 | group8 p50/p99 us: 457/29593 | group32 batch/s: 3897 | \
group32 p50/p99 us: 8205/19578
";

fn ours(work: &str, value: f64, unit: &str) -> Pair {
    Pair {
        work: work.into(),
        size: if work.starts_with("durable") { BATCH_BYTES } else { RECORDS },
        against: "self".into(),
        ours: value,
        theirs: None,
        unit: unit.into(),
        higher_is_better: unit.ends_with("/s"),
        target: None,
    }
}

fn planted(text: &str, name: &str) -> Figures {
    figures(text, name).expect("a line of this contender")
}

fn rows(measured: &Measured) -> Vec<(&str, &str, f64, f64)> {
    measured.rows.iter().map(|r| (&*r.work, &*r.against, r.theirs, r.ratio)).collect()
}

#[test]
fn line_of_a_contender_is_read() {
    let figures = planted(RAFT_ENGINE, "raft-engine");
    assert_eq!(figures["nosync rec/s"], [1_428_000.0]);
    assert_eq!(figures["scan rec/s (first/best)"], [1_257_000.0, 1_300_000.0]);
    assert_eq!(figures["group32 p50/p99 us"], [8205.0, 19578.0]);
}

#[test]
fn contender_that_cannot_be_opened_has_no_figures() {
    assert_eq!(figures("rocksdb        OPEN FAILED no library\n", "rocksdb"), None);
    assert_eq!(figures(RAFT_ENGINE, "raft"), None);
}

#[test]
fn rates_and_latencies_meet_their_like() {
    let theirs = BTreeMap::from([("raft-engine", vec![planted(RAFT_ENGINE, "raft-engine")])]);
    let pairs = [
        ours("durable-1", 1641.0, "us p50"),
        ours("scan", 2_600_000.0, "records/s"),
        ours("process", 1.0, "B"),
    ];
    let measured = merge(&pairs, &theirs);
    assert_eq!(
        rows(&measured),
        [
            ("durable-1", "raft-engine", 3282.0, 2.0),
            ("durable-1", "best", 3282.0, 2.0),
            ("scan", "raft-engine", 1_300_000.0, 2.0),
            ("scan", "best", 1_300_000.0, 2.0),
        ]
    );
}

#[test]
fn only_the_size_of_the_peers_meets_them_and_only_who_is_not_measured_yet() {
    let text = "okaywal | sync p50/p99 us: 200/300\nref-group | sync p50/p99 us: 90/91\n";
    let theirs = ["okaywal", "ref-group"].map(|name| (name, vec![planted(text, name)]));
    let own = Pair {
        against: "ref-group".into(),
        theirs: Some(80.0),
        ..ours("durable-1", 100.0, "us p50")
    };
    let pairs = [Pair { size: 16_000, ..ours("durable-1", 900.0, "us p50") }, own];
    let measured = merge(&pairs, &BTreeMap::from(theirs));
    assert_eq!(
        rows(&measured),
        [
            ("durable-1", "ref-group", 80.0, 0.8),
            ("durable-1", "okaywal", 200.0, 2.0),
            ("durable-1", "best", 200.0, 2.0),
        ]
    );
}

#[test]
fn best_is_the_best_that_is_comparable_over_the_median_of_the_rounds() {
    let line = |name: &str, rate: u32| planted(&format!("{name} | group8 batch/s: {rate}\n"), name);
    let rounds =
        |name: &'static str, rates: [u32; 3]| (name, rates.map(|rate| line(name, rate)).to_vec());
    let theirs = BTreeMap::from([
        rounds("ref-group", [900, 900, 900]),
        rounds("okaywal", [100, 9, 110]),
        rounds("fjall", [50, 50, 9000]),
        rounds("commitlog", [500, 500, 500]),
    ]);
    let measured = merge(&[ours("durable-8", 200.0, "batches/s")], &theirs);
    assert_eq!(
        rows(&measured),
        [
            ("durable-8", "ref-group", 900.0, 200.0 / 900.0),
            ("durable-8", "okaywal", 100.0, 2.0),
            ("durable-8", "fjall", 50.0, 4.0),
            ("durable-8", "commitlog", 500.0, 0.4),
            ("durable-8", "best", 100.0, 2.0),
        ]
    );
    assert_eq!(measured.rows[4].is_met(), Some(true));
}

#[test]
fn contender_that_loses_records_is_refused() {
    let text = "fjall | scan CHECK: ScanOut wanted 7 | scan rec/s (first/best): 1k/1k\n";
    let theirs = BTreeMap::from([("fjall", vec![planted(text, "fjall")])]);
    let measured = merge(&[ours("scan", 1.0, "records/s")], &theirs);
    assert!(measured.rows.is_empty());
    assert_eq!(measured.refused.len(), 1);
}

#[test]
fn contenders_that_are_not_installed_give_a_note_and_our_own_rows() {
    let dir = tempfile::tempdir().expect("a directory");
    let contenders = Contenders::find(&dir.path().join("none"), dir.path(), Effort::Full);
    let own = Line::Pair(Pair { theirs: Some(2.0), ..ours("durable-1", 1.0, "us p50") });
    let measured = interleave(|| Ok(vec![own.clone()]), &contenders, Effort::Quick);
    let measured = measured.expect("a peer that is missing is no error");
    assert_eq!(rows(&measured), [("durable-1", "self", 2.0, 2.0)]);
    assert!(measured.notes[0].contains("STEADFAST_PEERS"), "{:?}", measured.notes);
}

/// A stand-in for the peers' program, as a script.
#[cfg(unix)]
#[test]
fn contenders_are_run_and_one_that_fails_gives_a_note() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().expect("a directory");
    let binary = dir.path().join("target/release/peers");
    fs::create_dir_all(binary.parent().expect("it has one")).expect("a directory");
    let script = "#!/bin/sh\n[ \"$2\" = fjall ] && exit 1\necho \"$2 | sync batch/s: $N\"\n";
    fs::write(&binary, script).expect("a file");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("executable");
    let contenders = Contenders::find(dir.path(), dir.path(), Effort::Quick);
    let own = Line::Pair(ours("durable-1", 400_000.0, "batches/s"));
    let measured = interleave(|| Ok(vec![own.clone()]), &contenders, Effort::Quick);
    let measured = measured.expect("one contender's failure is no error");
    let against: Vec<_> = rows(&measured).iter().map(|row| (row.1, row.3)).collect();
    assert!(against.contains(&("okaywal", 2.0)) && against.contains(&("best", 2.0)), "{against:?}");
    assert!(measured.notes.iter().any(|note| note.starts_with("no rows against fjall")));
}

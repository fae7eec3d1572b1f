//! The merging of both sides, shown planted output; no peer is needed.

use super::*;

const HARNESS: &str = "\
# workload engine size seconds ops_per_s peak_rss_mb checksum
join3 drools-tuned 100000 0.2030 1477832 812 100000:244997550000 cpu=0.310 n=6
join3 clips6.40 100000 FAILED - 0 - driver64: not found
";

fn sample(work: &str, seconds: f64, checksum: &str) -> Line {
    Line::Sample(Sample { work: work.into(), size: 100, seconds, checksum: checksum.into() })
}

fn answer(seconds: f64, checksum: &str) -> Answer {
    Answer { seconds, checksum: checksum.into() }
}

#[test]
fn line_of_the_harness_is_read() {
    let found =
        Answer::find(HARNESS, "join3", "drools-tuned").expect("a line").expect("no failure");
    assert_eq!(found, answer(0.2030, "100000:244997550000"));
}

#[test]
fn failure_of_a_peer_is_told_in_its_words() {
    let found = Answer::find(HARNESS, "join3", "clips6.40").expect("a line");
    let error = found.expect_err("it failed").to_string();
    assert!(error.ends_with("driver64: not found"), "{error}");
    assert!(Answer::find(HARNESS, "join2", "hand").is_none());
}

/// Interleaves planted samples of ours with planted answers of theirs, one list for each round.
fn interleaved(ours: &[&[Line]], theirs: impl Fn(&str, usize) -> Result<Answer>) -> Measured {
    let engines = [ENGINES[0], ENGINES[3]];
    let mut ours = ours.iter().cycle();
    let mut calls = BTreeMap::<&str, usize>::new();
    interleave(
        || Ok(ours.next().expect("a cycle has no end").to_vec()),
        |engine, _, _| {
            let call = calls.entry(engine).or_default();
            *call += 1;
            theirs(engine, *call)
        },
        &engines,
        Effort::Quick,
    )
    .expect("nothing planted is an error")
}

#[test]
fn medians_over_all_rounds_make_the_ratio() {
    let rounds: [&[Line]; 3] = [
        &[sample("join3", 9.0, "1:2"), sample("join3", 2.0, "1:2")],
        &[sample("join3", 2.0, "1:2")],
        &[sample("join3", 1.0, "1:2")],
    ];
    let measured = interleaved(&rounds, |engine, call| match (engine, call) {
        ("hand", _) => Ok(answer(1.0, "1:2")),
        (_, 1) => Ok(answer(99.0, "1:2")),
        (_, 2) => Ok(answer(8.0, "1:2")),
        _ => Ok(answer(7.0, "1:2")),
    });
    let rows: Vec<_> = measured
        .rows
        .iter()
        .map(|row| (&*row.against, row.ours, row.theirs, row.ratio, row.target))
        .collect();
    let expected =
        [("drools-tuned", 2.0, 8.0, 4.0, Some(4.0)), ("hand", 2.0, 1.0, 0.5, Some(0.625))];
    assert_eq!(rows, expected);
}

#[test]
fn other_checksum_refuses_the_row_and_keeps_the_others() {
    let ours: [&[Line]; 1] = [&[sample("join3", 1.0, "1:2")]];
    let measured = interleaved(&ours, |engine, _| {
        Ok(answer(4.0, if engine == "hand" { "1:3" } else { "1:2" }))
    });
    assert_eq!(measured.rows.len(), 1);
    assert_eq!(measured.refused.len(), 1);
    assert!(measured.refused[0].contains("join3 100 against hand"), "{:?}", measured.refused);
}

#[test]
fn checksum_of_ours_that_changes_between_samples_refuses_every_row() {
    let ours: [&[Line]; 2] = [&[sample("join3", 1.0, "1:2")], &[sample("join3", 1.0, "1:3")]];
    let measured = interleaved(&ours, |_, _| Ok(answer(4.0, "1:2")));
    assert!(measured.rows.is_empty());
    assert_eq!(measured.refused.len(), 2);
}

#[test]
fn peer_that_fails_gives_a_note_and_is_not_asked_again() {
    let ours: [&[Line]; 1] = [&[sample("join3", 1.0, "1:2")]];
    let measured = interleaved(&ours, |engine, call| match engine {
        "hand" => Ok(answer(1.0, "1:2")),
        _ if call == 1 => bail!("no java"),
        _ => panic!("asked again"),
    });
    assert_eq!(measured.rows.len(), 1);
    assert_eq!(measured.notes, ["no row join3 against drools-tuned: no java"]);
    assert!(measured.refused.is_empty());
}

#[test]
fn program_without_output_is_an_error() {
    let result = interleave(|| Ok(Vec::new()), |_, _, _| bail!("no peers"), &[], Effort::Quick);
    assert!(result.is_err());
}

#[test]
fn peers_that_are_not_installed_give_a_note() {
    let dir = tempfile::tempdir().expect("a directory");
    let harness = Harness { rules: dir.path().join("rules"), effort: Effort::Full };
    let (engines, notes) = harness.engines();
    assert!(engines.is_empty());
    assert!(notes[0].contains("STEADFAST_PEERS"), "{notes:?}");
}

/// A stand-in for the harness, as a script: what is called, and how its answer comes back.
#[cfg(unix)]
#[test]
fn harness_is_run_and_only_built_engines_are_asked() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().expect("a directory");
    let rules = dir.path().to_owned();
    let script = rules.join("run.sh");
    std::fs::create_dir_all(rules.join("clips")).expect("a directory");
    std::fs::write(rules.join("clips/driver64"), "").expect("a file");
    std::fs::write(&script, "#!/bin/sh\necho \"$1 $2 $3 0.5 200 10 1:2 cpu=0.4 n=$REPS\"\n")
        .expect("a file");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let harness = Harness { rules, effort: Effort::Quick };
    let (engines, notes) = harness.engines();
    let names: Vec<_> = engines.iter().map(|engine| engine.name).collect();
    assert_eq!(names, ["clips6.40", "clips6.40-depth"]);
    assert_eq!(notes.len(), ENGINES.len() - 2);
    for work in ["join2", "join2, first run"] {
        let found = harness.run("clips6.40", work, 100).expect("the script answers");
        assert_eq!(found, answer(0.5, "1:2"));
    }
}

#[test]
fn engines_are_asked_for_the_works_that_they_have_and_in_quick_runs_for_those_with_a_target() {
    let asked = |work: &str, effort| -> Vec<&str> {
        let engines = ENGINES.iter().filter(|engine| engine.is_asked(work, effort));
        engines.map(|engine| engine.name).collect()
    };
    assert_eq!(asked("join3, first run", Effort::Full), ["drools-cold"]);
    assert_eq!(asked("tms", Effort::Full), ["clips6.40"]);
    assert_eq!(asked("not", Effort::Full), ["drools-tuned", "clips6.40", "dd"]);
    assert_eq!(asked("not", Effort::Quick), ["drools-tuned", "dd"]);
}

#[test]
fn every_target_is_for_a_work_that_its_engine_has() {
    for (works, name, _) in TARGETS {
        let engine = ENGINES.iter().find(|engine| engine.name == *name).expect("an engine");
        assert!(works.iter().all(|work| engine.works.contains(work)), "{works:?} of {name}");
    }
}

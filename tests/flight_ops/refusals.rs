//! Bad input: a clear error, its exit code, and nothing lost.

use std::fs;
use std::path::Path;

use steadfast::Session;

use crate::facts::Tally;
use crate::rules::flight_ops;
use crate::world::{DIGEST, FLIGHTS, World, files, output, program, stderr};

#[track_caller]
fn check_flights(flights: impl AsRef<[u8]>, code: i32, expected: &str) {
    let world = World::new();
    let data = world.tiny_data();
    fs::write(data.join("flights.csv"), flights).expect("written");
    let (found, said) = world.refused(&["--data", data.to_str().expect("a plain path")]);
    assert!(said.contains(expected), "{said}");
    assert_eq!(found, code, "{said}");
    assert!(!world.session().exists(), "the data comes before the session");
}

#[test]
fn malformed_cell_names_file_line_column_and_what_was_expected() {
    for (right, wrong, expected) in [
        (
            "EWR,11,45",
            "EWR,24,45",
            "flights.csv, line 3, column 12 (`hour`): expected an hour, 0 to 23, found `24`",
        ),
        (
            ",NA,UA,N14228",
            ",soon,UA,N14228",
            "line 3, column 7 (`arr_delay`): expected minutes or NA, found `soon`",
        ),
        (
            "EWR,IAH,5,15",
            "EWR,Houston,5,15",
            "line 2, column 11 (`dest`): expected a code of 1 to 6 characters, found `Houston`",
        ),
        (
            "2013,2,1,NA",
            "2013,13,1,NA",
            "line 4, column 2 (`month`): expected a month, 1 to 12, found `13`",
        ),
        ("2013,2,1,517", ",2,1,517", "line 2, column 1 (`year`): expected a year, found ``"),
    ] {
        assert_eq!(FLIGHTS.matches(right).count(), 1);
        check_flights(FLIGHTS.replace(right, wrong), 2, expected);
    }
}

#[test]
fn malformed_file_names_what_is_wrong_with_it() {
    check_flights(FLIGHTS.replace(",hour,", ",h,"), 2, "line 1: there is no column `hour`");
    check_flights(
        FLIGHTS.replace("EWR,11,45", "EWR,11,45,0"),
        2,
        "line 3: expected 13 columns, found 14",
    );
    let mut bytes = FLIGHTS.as_bytes().to_vec();
    bytes[FLIGHTS.find("IAH").expect("an airport")] = 0xff;
    check_flights(bytes, 2, "flights.csv, line 2: the row is not readable");
    let header = FLIGHTS.lines().next().expect("a header");
    check_flights(header, 2, "flights.csv has no rows");
    check_flights("", 2, "line 1: there is no column `year`");
}

#[test]
fn compressed_file_that_is_cut_short_is_refused() {
    let world = World::new();
    let data = world.tiny_data();
    let january = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights.csv.xz");
    let bytes = fs::read(january).expect("the data of the example");
    fs::remove_file(data.join("flights.csv")).expect("removed");
    fs::write(data.join("flights.csv.xz"), &bytes[..bytes.len() / 2]).expect("written");
    let (code, said) = world.refused(&["--data", data.to_str().expect("a plain path")]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("failed to read `") && said.contains("flights.csv.xz`"), "{said}");
}

#[test]
fn missing_data_cannot_be_opened() {
    let world = World::new();
    let (code, said) = world.refused(&["--data", "no/such/directory"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("failed to open `no/such/directory`"), "{said}");

    let data = world.tiny_data();
    fs::remove_file(data.join("weather.csv")).expect("removed");
    // In a child process, too: it is told once.
    for kills in ["0", "3"] {
        let data = data.to_str().expect("a plain path");
        let (code, said) = world.refused(&["--data", data, "--kills", kills]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("has none of weather.csv, weather.csv.gz, weather.csv.xz"), "{said}");
        assert_eq!(said.matches("error").count(), 1, "{said}");
    }
}

#[test]
fn wrong_options_are_a_matter_of_usage() {
    for (options, expected) in [
        (&["--sync", "often"][..], "expected process, interval:MS, batch or paranoid"),
        (&["--kills", "many"], "cannot parse"),
        (&["--kill", "3"], "invalid option '--kill'"),
        (&["somewhere"], "unexpected argument"),
    ] {
        let output = output(program().args(options));
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn second_process_on_a_session_learns_who_holds_it() {
    let world = World::new();
    let held = Session::durable(world.journal()).open(flight_ops());
    let mut held = held.expect("a session");
    let (code, said) = world.refused(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("error SF0005"), "{said}");
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    held.insert(Tally { passengers: 3 }).expect("the holder notices nothing");
}

#[test]
fn damaged_segment_is_refused_and_left_as_it_is() {
    let world = World::new();
    world.run(&[]);
    let files_before = files(&world.journal());
    let mut segments = files_before.keys();
    let segment = segments.find(|path| path.extension().is_some_and(|kind| kind == "jnl"));
    let segment = segment.expect("a segment");
    let good = fs::read(segment).expect("the segment");
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 0x10;
    fs::write(segment, damaged).expect("written");

    let before = files(world.dir.path());
    let (code, said) = world.refused(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("error SF0007"), "{said}");
    assert_eq!(files(world.dir.path()), before);

    fs::write(segment, good).expect("written");
    assert_eq!(world.run(&[])["digest"], DIGEST, "with a good copy it goes on");
}

#[test]
fn journal_of_a_newer_format_is_refused_and_left_as_it_is() {
    let world = World::new();
    world.run_tiny(&[]);
    let path = world.journal().join("MANIFEST");
    let mut manifest = fs::read(&path).expect("the manifest");
    let content = u32::from_le_bytes(manifest[4..8].try_into().expect("4 bytes")) as usize;
    manifest[8] += 1; // the major version of the format
    let sum = crc32c::crc32c(&manifest[..content - 12]);
    manifest[content - 12..content - 8].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, manifest).expect("written");

    let before = files(world.dir.path());
    let (code, said) = world.refused(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("error SF0008"), "{said}");
    assert_eq!(files(world.dir.path()), before);
}

/// The session was written by a later version of the program, whose rules are the same and whose
/// tally is not.
#[test]
fn fact_type_of_a_later_version_is_refused_and_left_as_it_is() {
    let world = World::new();
    let mut later = Session::durable(world.journal()).open(flight_ops()).expect("a session");
    later.insert(Tally { passengers: 3 }).expect("inserted");
    later.close().expect("closed");

    let before = files(&world.session());
    let (code, said) = world.refused(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.starts_with("error SF0004"), "{said}");
    assert!(said.contains("`Tally` was stored with version 2"), "{said}");
    assert_eq!(files(&world.session()), before);
}

#[test]
fn alerts_of_another_session_are_not_mixed_with() {
    let (one, other) = (World::new(), World::new());
    one.run_tiny(&[]);
    let alerts = one.alerts_path();
    let before = fs::read(&alerts).expect("the alerts");
    let (code, said) = other.refused(&["--alerts", alerts.to_str().expect("a plain path")]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("is of another session"), "{said}");
    assert_eq!(fs::read(&alerts).expect("the alerts"), before);

    // A file that is something else altogether is not taken for a line that a kill cut short.
    fs::write(&alerts, "my diary").expect("written");
    let (code, said) = one.refused(&[]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("is of another session, my diary"), "{said}");
    assert_eq!(fs::read(&alerts).expect("the diary"), b"my diary");
}

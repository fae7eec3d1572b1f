//! The figures of January, however it was run.

use std::fs::{self, File};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::world::{DIGEST, World, calm_alerts, output, program, stderr};

fn january() -> Value {
    json!({
        "flights": 27_004, "cancelled": 521, "late": 1_852, "ground_stops": 134,
        "weather_late": 132, "carrier_late": 1_720, "meltdown_alerts": 32,
        "meltdowns_standing": 31, "knock_on": 531, "stranded": 6, "alerts": 569, "digest": DIGEST,
    })
}

#[track_caller]
fn check_figures(found: &Value, expected: &Value) {
    for (name, figure) in expected.as_object().expect("an object") {
        assert_eq!(&found[name], figure, "{name}");
    }
}

#[test]
fn january_gives_its_figures() {
    let found = World::new().run(&["--sync", "batch"]);
    check_figures(&found, &january());
    assert_eq!(found["kills"], 0);
}

#[test]
fn every_level_of_durability_will_do() {
    for level in ["process", "interval:5", "batch", "paranoid"] {
        let found = World::new().run_tiny(&["--sync", level]);
        assert_eq!(found["flights"], 3, "{level}");
    }
}

#[test]
fn three_kills_change_no_figure_and_no_alert() {
    let world = World::new();
    let found = world.run(&["--kills", "3"]);
    check_figures(&found, &january());
    assert_eq!((&found["kills"], &found["recoveries"]), (&json!(3), &json!(3)));
    assert_eq!(world.alerts().lines, calm_alerts());
    assert!(world.alerts().repeated <= 3, "a kill repeats the delivery in flight at most");
}

#[test]
fn plain_run_prints_the_table_with_january_beside_it() {
    let output = output(program().args(["--sync", "process", "--seed", "5"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).expect("text");
    for line in [
        "flights                                        27,004     27,004",
        "knock-on alerts                                   531        531",
        DIGEST,
        "3 crashes survived; 3 recoveries",
    ] {
        assert!(table.contains(line), "{table}");
    }
    assert!(output.stderr.is_empty(), "a progress bar is for terminals");
}

#[test]
fn finished_run_has_nothing_left_to_do() {
    let world = World::new();
    let first = world.run(&[]);
    let (alerts, again) = (world.alerts().lines, world.run(&["--kills", "3"]));
    check_figures(&again, &january());
    assert_eq!((&first["kills"], &again["kills"]), (&json!(0), &json!(0)));
    assert_eq!(again["flights_per_second"], 0.0, "this run took nothing in");
    assert_eq!(world.alerts().lines, alerts);
}

#[test]
fn own_data_may_be_plain_or_compressed_and_have_columns_of_its_own() {
    let expected = json!({
        "flights": 3, "cancelled": 1, "late": 0, "ground_stops": 1, "knock_on": 1, "alerts": 1,
    });
    let world = World::new();
    let data = world.tiny_data();
    let data_option = data.to_str().expect("a plain path");
    check_figures(&world.run(&["--data", data_option]), &expected);
    assert_eq!(world.alerts().lines, ["knock_on,0,1"]);

    let plain = data.join("flights.csv");
    let bytes = fs::read(&plain).expect("the file");
    let packed = File::create(data.join("flights.csv.gz")).expect("a file");
    let mut packed = GzEncoder::new(packed, Compression::fast());
    packed.write_all(&bytes).and_then(|()| packed.try_finish()).expect("compressed");
    fs::remove_file(plain).expect("removed");
    check_figures(&World::new().run(&["--data", data_option]), &expected);
}

#[test]
fn longer_data_goes_on_where_shorter_data_ended() {
    let world = World::new();
    let data = world.tiny_data();
    let option = data.to_str().expect("a plain path");
    world.run(&["--data", option]);
    let mut flights = fs::read_to_string(data.join("flights.csv")).expect("the file");
    flights += "2013,2,2,NA,1150,NA,NA,UA,NA,LGA,IAH,11,50\n";
    fs::write(data.join("flights.csv"), flights).expect("written");
    check_figures(&world.run(&["--data", option]), &json!({"flights": 4, "cancelled": 2}));
    assert_eq!(world.alerts().lines, ["knock_on,0,1"], "the first day alerts nobody again");
}

//! Groups in work that is undone, and in rules that are built at run time.

use serde::{Deserialize, Serialize};
use steadfast::aggregate::{
    Average, Collect, Count, Max, Median, Min, OrderedF64, Percentile, Sum, TopK, Variance,
};
use steadfast::ir::{RuleBuilder, RuleDef, Ruleset};
use steadfast::wm::SessionId;
use steadfast::{Aggregate, AggregateError, ChangeError, Discard, Engine, FireOptions};
use steadfast_macros::Fact;

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: u64,
    value: f64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sensor {
    id: u64,
    floor: u64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shown(String);

/// A rule over all readings of each sensor.
fn by_sensor<F: Aggregate>(function: F, input: fn(&Reading) -> F::Input) -> RuleDef {
    let mut rule = RuleBuilder::new("it::by_sensor");
    let reading = rule.element::<Reading>("r");
    let fields = &["sensor", "value"];
    rule.group_by::<Reading, _, _, _>(reading, fields, |r: &Reading| r.sensor, function, input);
    rule.then(|_, _| Ok(()))
}

fn engine(rule: RuleDef) -> Engine {
    let rules = Ruleset::new("readings", 1).rule(rule);
    Engine::new(&rules, SessionId::from_bytes([4; 16]), &mut Discard).unwrap()
}

fn insert(engine: &mut Engine, values: &[f64]) {
    let inserted = engine.stage(&mut Discard, |stage| {
        for &value in values {
            stage.insert(Reading { sensor: 1, value })?;
        }
        Ok::<(), ChangeError>(())
    });
    inserted.unwrap();
    engine.fire(FireOptions::default(), &mut Discard);
}

/// Work that is undone takes back what it put into states, and puts back what it took, to the bit.
fn undone<F: Aggregate>(function: F, input: fn(&Reading) -> F::Input) {
    let mut engine = engine(by_sensor(function, input));
    insert(&mut engine, &[1e16, 1.0, -1e16]);
    let (before, mut fork) = (engine.digest(), engine.clone());
    let inside = engine.what_if(|engine| {
        insert(engine, &[f64::INFINITY, 1e300, 0.1, f64::NAN]);
        let handles: Vec<_> =
            engine.facts::<Reading>().iter().map(steadfast::Ref::handle).collect();
        let changed = engine.stage(&mut Discard, |stage| {
            stage.delete(handles[1])?;
            stage.update(handles[0], |reading: &mut Reading| reading.value = 3.0)?;
            // A sensor of its own, and the end of the other one's group.
            stage.update(handles[2], |reading: &mut Reading| reading.sensor = 2)
        });
        changed.unwrap();
        engine.fire(FireOptions::default(), &mut Discard);
        engine.digest()
    });
    assert_ne!(inside, before);
    assert_eq!(engine.digest(), before);
    for engine in [&mut engine, &mut fork] {
        insert(engine, &[0.1]);
    }
    assert_eq!(engine.digest(), fork.digest());
}

#[test]
fn states_of_groups_are_as_before_what_was_undone() {
    let ordered = |r: &Reading| (OrderedF64::new(r.value), OrderedF64::new(r.value));
    undone((Sum::<f64>::default(), Count), |r| (r.value, ()));
    undone((Average::<f64>::default(), Variance::<f64>::default()), |r| (r.value, r.value));
    undone((Min::<OrderedF64, f64>::default(), Max::<OrderedF64, f64>::default()), ordered);
    undone((Median::<OrderedF64, f64>::default(), TopK::<OrderedF64, f64>::new(2)), ordered);
    undone((Collect::<f64>::default(),), |r| (r.value,));
}

/// A sum that panics when a negative value enters, and has no result above 100.
#[derive(Clone)]
struct Delicate;

impl Aggregate for Delicate {
    type Input = f64;
    type State = f64;
    type Output = f64;

    fn enter(&self, state: &mut f64, _: &[u64], input: &f64) {
        *state += input;
        assert!(*input >= 0.0, "negative");
    }

    fn leave(&self, state: &mut f64, _: &[u64], input: &f64) {
        *state -= input;
    }

    fn output(&self, state: &f64) -> Result<Option<f64>, AggregateError> {
        let (function, reason) = ("delicate", "it is too much".to_owned());
        if *state > 100.0 {
            return Err(AggregateError::NoResult { function, reason });
        }
        Ok(Some(*state))
    }
}

#[test]
fn a_result_that_fails_is_undone_and_a_step_that_panics_is_not() {
    let mut engine = engine(by_sensor(Delicate, |r| r.value));
    insert(&mut engine, &[1.0]);
    let before = engine.digest();
    let scope = engine.open_scope().unwrap();
    insert(&mut engine, &[2.0, 99.0]);
    assert!(engine.has_failed());
    engine.roll_back(scope);
    assert_eq!((engine.has_failed(), engine.digest()), (false, before));
    insert(&mut engine, &[2.0]);
    engine.roll_back(scope);
    assert_eq!(engine.digest(), before);
    insert(&mut engine, &[-1.0]);
    engine.roll_back(scope);
    assert!(engine.has_failed(), "nobody knows what the function has added");
    engine.close_scopes();
    assert!(engine.has_failed());
    // What failed before a scope was opened, that does not put right.
    let scope = engine.open_scope().unwrap();
    engine.roll_back(scope);
    assert!(engine.has_failed());
}

#[test]
fn a_copy_that_is_made_in_a_scope_has_none() {
    let mut engine = engine(by_sensor(Count, |_| ()));
    insert(&mut engine, &[1.0]);
    let before = engine.digest();
    let scope = engine.open_scope().unwrap();
    insert(&mut engine, &[2.0]);
    let mut copy = engine.clone();
    assert!(engine.trail_bytes() > 0 && copy.trail_bytes() == 0);
    let inside = engine.digest();
    engine.roll_back(scope);
    assert_eq!((engine.digest(), copy.digest(), engine.trail_bytes()), (before, inside, 0));
    insert(&mut copy, &[3.0]);
    assert_eq!(copy.trail_bytes(), 0);
}

#[test]
fn rules_that_are_built_know_their_functions() {
    let value = |r: &Reading| (OrderedF64::new(r.value),);
    let of = |percent| by_sensor((Percentile::<OrderedF64, f64>::new(percent),), value);
    assert_eq!(of(90.0).conditions_digest, of(90.0).conditions_digest);
    assert_ne!(of(90.0).conditions_digest, of(95.0).conditions_digest);
    let max = by_sensor((Max::<OrderedF64, f64>::default(),), value);
    let min = by_sensor((Min::<OrderedF64, f64>::default(),), value);
    assert_ne!(max.conditions_digest, min.conditions_digest);
}

#[test]
fn groups_that_are_built_have_keys_and_inputs_of_several_patterns() {
    let mut rule = RuleBuilder::new("it::by_floor_and_value");
    let sensor = rule.element::<Sensor>("s");
    let reading = rule.element::<Reading>("r");
    let (of_reading, of_sensor) = (|r: &Reading| r.sensor, |s: &Sensor| s.id);
    rule.exact_key("r.sensor == s.id", (reading, "sensor"), of_reading, (sensor, "id"), of_sensor);
    let group = rule.group_by_tuple::<(Sensor, Reading), (u64, bool), _>(
        &[sensor.reads(&["floor"]), reading.reads(&["value"])],
        move |rows, row| (sensor.in_rows(rows, row).floor, reading.in_rows(rows, row).value > 0.0),
        (Count, Collect::<u64>::default()),
        move |rows, row| ((), reading.in_rows(rows, row).sensor),
    );
    let rule = rule.makes::<Shown>().then(move |row, cx| {
        let group = group.of(row);
        cx.insert_logical(Shown(format!("{:?}: {} {:?}", group.key, group.0, group.1)))?;
        Ok(())
    });
    let mut engine = engine(rule);
    engine
        .stage(&mut Discard, |stage| {
            for (id, floor) in [(1, 0), (2, 7), (3, 7)] {
                stage.insert(Sensor { id, floor })?;
                stage.insert(Reading { sensor: id, value: 1.0 })?;
            }
            stage.insert(Reading { sensor: 2, value: -1.0 })
        })
        .unwrap();
    let shown = |engine: &mut Engine| -> Vec<String> {
        engine.fire(FireOptions::default(), &mut Discard);
        engine.facts::<Shown>().iter().map(|shown| shown.0.clone()).collect()
    };
    let apart = ["(0, true): 1 [1]", "(7, true): 2 [2, 3]", "(7, false): 1 [2]"];
    assert_eq!(shown(&mut engine), apart);
    let low = engine.facts::<Sensor>()[0].handle();
    engine.stage(&mut Discard, |stage| stage.update(low, |s: &mut Sensor| s.floor = 7)).unwrap();
    assert_eq!(shown(&mut engine), ["(7, false): 1 [2]", "(7, true): 3 [1, 2, 3]"]);
}

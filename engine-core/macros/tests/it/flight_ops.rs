//! The rules of an airport's operations control: joins of every kind, groups, negation, alerts.

use serde::{Deserialize, Serialize};
use steadfast::ir::{Absent, Having};
use steadfast::{ChangeError, Discard, Engine, FireOptions, Group, Ref, RuleResult, Then};
use steadfast_macros::{Effect, Fact, rule, ruleset};
use steadfast_wm::SessionId;

use crate::describe::parts;

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Plane {
    #[fact(key)]
    tailnum: String,
    seats: u32,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Weather {
    origin: String,
    day: u32,
    hour: u32,
    visibility: Option<f64>,
    wind_speed: Option<f64>,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Flight {
    #[fact(key)]
    id: u32,
    carrier: String,
    tailnum: Option<String>,
    origin: String,
    day: u32,
    hour: u32,
    scheduled: u32,
    departure_delay: Option<i32>,
    arrival_delay: Option<i32>,
    cancelled: bool,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct GroundStop {
    origin: String,
    day: u32,
    hour: u32,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Late {
    flight: u32,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct WeatherLate {
    flight: u32,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct CarrierLate {
    flight: u32,
    carrier: String,
    origin: String,
    day: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Meltdown {
    carrier: String,
    origin: String,
    day: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Stranded {
    origin: String,
    day: u32,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct DayClosed {
    day: u32,
}

/// Alerts so far, to see them without an outbox.
#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Raised(String);

#[derive(Effect, Serialize, Deserialize)]
enum Alert {
    KnockOn { previous: u32, next: u32 },
    Meltdown { day: u32, carrier: String, origin: String },
    Stranded { day: u32, origin: String },
}

#[rule(salience = 200)]
fn close_flights(
    d: &DayClosed,
    #[when(f.day == d.day)] f: Ref<Flight>,
    cx: &mut Then,
) -> RuleResult {
    cx.delete(f)?;
    Ok(())
}

#[rule(salience = 200)]
fn close_weather(
    d: &DayClosed,
    #[when(w.day == d.day)] w: Ref<Weather>,
    cx: &mut Then,
) -> RuleResult {
    cx.delete(w)?;
    Ok(())
}

#[rule(salience = 199)]
fn close_day(
    d: Ref<DayClosed>,
    #[not(f.day == d.day)] f: Absent<Flight>,
    #[not(w.day == d.day)] w: Absent<Weather>,
    cx: &mut Then,
) -> RuleResult {
    cx.delete(d)?;
    Ok(())
}

#[rule(salience = 100, logical)]
fn ground_stop(
    #[when(w.visibility.is_some_and(|miles| miles < 1.0)
        || w.wind_speed.is_some_and(|mph| mph >= 30.0))]
    w: &Weather,
) -> GroundStop {
    GroundStop { origin: w.origin.clone(), day: w.day, hour: w.hour }
}

#[rule(salience = 80, logical)]
fn late(#[when(f.departure_delay >= Some(60))] f: &Flight) -> Late {
    Late { flight: f.id }
}

#[rule(salience = 50, logical)]
fn weather_late(
    l: &Late,
    #[when(f.id == l.flight)] f: &Flight,
    #[when(g.origin == f.origin && g.day == f.day && g.hour == f.hour)] g: &GroundStop,
) -> WeatherLate {
    WeatherLate { flight: f.id }
}

#[rule(salience = 50, logical)]
fn carrier_late(
    l: &Late,
    #[when(f.id == l.flight)] f: &Flight,
    #[not(g.origin == f.origin && g.day == f.day && g.hour == f.hour)] g: Absent<GroundStop>,
) -> CarrierLate {
    CarrierLate { flight: f.id, carrier: f.carrier.clone(), origin: f.origin.clone(), day: f.day }
}

#[rule(salience = 10, logical)]
fn meltdown(
    #[group_by(l.carrier, l.origin, l.day)]
    #[aggregate(count())]
    g: &Group<CarrierLate, (String, String, u32), (u64,)>,
    #[having(g.0 >= 2)] _h: Having,
) -> Meltdown {
    let (carrier, origin, day) = g.key.clone();
    Meltdown { carrier, origin, day }
}

#[rule(salience = 10, logical)]
fn stranded(
    #[each(f: Flight, f.cancelled)]
    #[each(p: Plane, Some(&p.tailnum) == f.tailnum.as_ref())]
    #[group_by(f.origin, f.day)]
    #[aggregate(sum(p.seats))]
    g: &Group<(Flight, Plane), (String, u32), (u64,)>,
    #[having(g.0 >= 300)] _h: Having,
) -> Stranded {
    let (origin, day) = g.key.clone();
    Stranded { origin, day }
}

/// `n` is the flight after `p` of the same aircraft: no other stands between them.
#[rule(salience = 5)]
fn knock_on(
    #[when(p.arrival_delay >= Some(30) && p.tailnum.is_some())] p: &Flight,
    #[when(n.tailnum == p.tailnum && n.day == p.day && n.departure_delay >= Some(15))]
    #[when((n.scheduled, n.id) > (p.scheduled, p.id))]
    n: &Flight,
    #[not(b.tailnum == p.tailnum && b.day == p.day)]
    #[not((b.scheduled, b.id) > (p.scheduled, p.id) && (b.scheduled, b.id) < (n.scheduled, n.id))]
    b: Absent<Flight>,
    cx: &mut Then,
) -> RuleResult {
    cx.emit(Alert::KnockOn { previous: p.id, next: n.id })?;
    cx.insert(Raised(format!("knock_on,{},{}", p.id, n.id)))?;
    Ok(())
}

#[rule]
fn alert_meltdown(m: &Meltdown, cx: &mut Then) -> RuleResult {
    let Meltdown { carrier, origin, day } = m.clone();
    cx.insert(Raised(format!("meltdown,{day},{carrier},{origin}")))?;
    cx.emit(Alert::Meltdown { day, carrier, origin })?;
    Ok(())
}

#[rule]
fn alert_stranded(s: &Stranded, cx: &mut Then) -> RuleResult {
    cx.insert(Raised(format!("stranded,{},{}", s.day, s.origin)))?;
    cx.emit(Alert::Stranded { day: s.day, origin: s.origin.clone() })?;
    Ok(())
}

ruleset!(
    /// Operations control.
    pub(crate) flight_ops = 1:
        close_flights, close_weather, close_day, ground_stop, late, weather_late, carrier_late,
        meltdown, stranded, knock_on, alert_meltdown, alert_stranded;
    facts: Raised
);

fn flight(id: u32, tail: &str, hour: u32) -> Flight {
    Flight {
        id,
        carrier: "UA".to_owned(),
        tailnum: (!tail.is_empty()).then(|| tail.to_owned()),
        origin: "EWR".to_owned(),
        day: 1,
        hour,
        scheduled: hour * 60,
        departure_delay: Some(0),
        arrival_delay: Some(0),
        cancelled: false,
    }
}

fn plane(tailnum: &str, seats: u32) -> Plane {
    Plane { tailnum: tailnum.to_owned(), seats }
}

struct Control(Engine);

impl Control {
    fn stage<T: steadfast::Fact>(&mut self, facts: impl IntoIterator<Item = T>) {
        let staged = self.0.stage(&mut Discard, |stage| {
            for fact in facts {
                stage.insert(fact)?;
            }
            Ok::<_, ChangeError>(())
        });
        staged.expect("staged");
    }

    fn fire(&mut self) {
        let fired = self.0.fire(FireOptions::default(), &mut Discard);
        assert!(fired.error.is_none(), "{fired:?}");
    }

    fn raised(&self) -> Vec<String> {
        self.0.facts::<Raised>().iter().map(|raised| raised.0.clone()).collect()
    }
}

#[test]
fn a_day_of_operations_raises_its_alerts() {
    let engine = Engine::new(&flight_ops(), SessionId::default(), &mut Discard);
    let mut control = Control(engine.expect("valid rules"));
    control.stage([plane("N1", 180), plane("N2", 150), plane("N3", 149)]);
    let late = |flight: Flight| Flight { departure_delay: Some(60), ..flight };
    let cancelled = |flight: Flight| Flight { cancelled: true, departure_delay: None, ..flight };
    let arrives_late = |flight: Flight| Flight { arrival_delay: Some(30), ..flight };

    // Two late flights of one carrier, one of them the next of an aircraft that came in late.
    control.stage([
        arrives_late(flight(1, "N1", 6)),
        late(flight(2, "N1", 8)),
        late(flight(3, "", 9)),
    ]);
    control.fire();
    assert_eq!(control.raised(), ["knock_on,1,2", "meltdown,1,UA,EWR"]);
    assert_eq!(control.0.facts::<CarrierLate>().len(), 2);

    // The observation comes late: one of them was the weather's fault, the meltdown is withdrawn.
    let (origin, visibility) = ("EWR".to_owned(), Some(0.5));
    control.stage([Weather { origin, day: 1, hour: 9, visibility, wind_speed: None }]);
    control.fire();
    assert_eq!(control.0.facts::<CarrierLate>().len(), 1);
    assert_eq!(control.0.facts::<WeatherLate>()[0].flight, 3);
    assert!(control.0.facts::<Meltdown>().is_empty());

    // Cancelled flights strand the seats of their planes; an unknown aircraft has none.
    control.stage([cancelled(flight(4, "N2", 10)), cancelled(flight(5, "N3", 10))]);
    control.stage([cancelled(flight(6, "", 10)), cancelled(flight(7, "N9", 10))]);
    control.fire();
    assert!(control.0.facts::<Stranded>().is_empty(), "299 seats are none too many");
    control.stage([cancelled(flight(8, "N3", 11))]);
    control.fire();
    assert_eq!(control.raised()[2..], ["stranded,1,EWR"]);

    control.stage([DayClosed { day: 1 }]);
    control.fire();
    assert_eq!(control.raised().len(), 3);
    assert_eq!(control.0.fact_count(), 3 + 3, "planes and what was raised");
}

#[test]
fn joins_of_the_rules_are_indexed() {
    let text = flight_ops().rules().iter().flat_map(parts).collect::<Vec<_>>().join("\n");
    assert!(
        text.contains("key Some(&p.tailnum) == f.tailnum.as_ref() [f.tailnum p.tailnum]"),
        "{text}"
    );
    assert!(text.contains("key b.tailnum == p.tailnum [p.tailnum b.tailnum]"), "{text}");
    assert!(text.contains("key g.hour == f.hour [f.hour g.hour]"), "{text}");
}

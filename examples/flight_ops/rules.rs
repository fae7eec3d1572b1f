//! The rules of the operations control.

use steadfast::prelude::*;

use crate::facts::{
    Alert, CarrierLate, Code, Cursor, Date, DayClosed, Flight, GroundStop, Late, Meltdown, Plane,
    Stranded, Tally, Weather, WeatherLate,
};

/// Nothing departs in fog or in a gale.
#[rule(salience = 100, logical)]
fn ground_stop(
    #[when(w.visibility.is_some_and(|miles| miles < 1.0)
        || w.wind_speed.is_some_and(|mph| mph >= 30.0))]
    w: &Weather,
) -> GroundStop {
    GroundStop { origin: w.origin, day: w.day, hour: w.hour }
}

#[rule(salience = 80, logical)]
fn late(#[when(f.departure_delay >= Some(60))] f: &Flight) -> Late {
    Late { flight: f.id }
}

/// A late flight in an hour with a ground stop is the weather's fault ...
#[rule(salience = 50, logical)]
fn weather_late(
    l: &Late,
    #[when(f.id == l.flight)] f: &Flight,
    #[when(g.origin == f.origin && g.day == f.day && g.hour == f.hour)] g: &GroundStop,
) -> WeatherLate {
    WeatherLate { flight: f.id }
}

/// ... and any other one its carrier's. Observations arrive an hour late: when one turns up, what was
/// held against the carrier is withdrawn, with everything that followed from it.
#[rule(salience = 50, logical)]
fn carrier_late(
    l: &Late,
    #[when(f.id == l.flight)] f: &Flight,
    #[not(g.origin == f.origin && g.day == f.day && g.hour == f.hour)] g: Absent<GroundStop>,
) -> CarrierLate {
    CarrierLate { flight: f.id, carrier: f.carrier, origin: f.origin, day: f.day }
}

/// Ten late departures of one carrier at one airport on one day are no bad luck any more.
#[rule(salience = 10, logical)]
fn meltdown(
    #[group_by(l.carrier, l.origin, l.day)]
    #[aggregate(count())]
    g: &Group<CarrierLate, (Code, Code, Date), (u64,)>,
    #[having(g.0 >= 10)] _h: Having,
) -> Meltdown {
    let (carrier, origin, day) = g.key;
    Meltdown { carrier, origin, day }
}

/// A thousand seats that did not leave an airport on a day need hotel beds.
#[rule(salience = 10, logical)]
fn stranded(
    #[each(f: Flight, f.cancelled)]
    #[each(p: Plane, Some(p.tailnum) == f.tailnum)]
    #[group_by(f.origin, f.day)]
    #[aggregate(sum(p.seats))]
    g: &Group<(Flight, Plane), (Code, Date), (u64,)>,
    #[having(g.0 >= 1000)] _h: Having,
) -> Stranded {
    let (origin, day) = g.key;
    Stranded { origin, day }
}

/// An aircraft came in late and leaves late again: `next` is its next departure of the day, with no
/// other between.
#[rule(salience = 5)]
fn knock_on(
    #[when(previous.arrival_delay >= Some(30) && previous.tailnum.is_some())] previous: &Flight,
    #[when(next.tailnum == previous.tailnum && next.day == previous.day)]
    #[when((next.scheduled, next.id) > (previous.scheduled, previous.id))]
    #[when(next.departure_delay >= Some(15))]
    next: &Flight,
    #[not(between.tailnum == previous.tailnum && between.day == previous.day)]
    #[not((between.scheduled, between.id) > (previous.scheduled, previous.id))]
    #[not((between.scheduled, between.id) < (next.scheduled, next.id))]
    between: Absent<Flight>,
    cx: &mut Then,
) -> RuleResult {
    cx.emit(Alert::KnockOn { previous: previous.id, next: next.id })?;
    Ok(())
}

#[rule]
fn alert_meltdown(m: &Meltdown, cx: &mut Then) -> RuleResult {
    cx.emit(Alert::Meltdown { day: m.day, carrier: m.carrier, origin: m.origin })?;
    Ok(())
}

#[rule]
fn alert_stranded(s: &Stranded, cx: &mut Then) -> RuleResult {
    cx.emit(Alert::Stranded { day: s.day, origin: s.origin })?;
    Ok(())
}

/// A closed day leaves nothing behind: what was derived from its flights and its weather goes with
/// them. This outranks every other rule, because a half-deleted day would raise false alerts.
#[rule(salience = 200)]
fn close_day(closed: Ref<DayClosed>, cx: &mut Then) -> RuleResult {
    let day = closed.day;
    let flights = cx.query::<Flight>();
    let flights: Vec<_> = flights.iter().filter(|f| f.day == day).map(Ref::handle).collect();
    let weather = cx.query::<Weather>();
    let weather: Vec<_> = weather.iter().filter(|w| w.day == day).map(Ref::handle).collect();
    for flight in flights {
        cx.delete(flight)?;
    }
    for observation in weather {
        cx.delete(observation)?;
    }
    cx.delete(closed)?;
    Ok(())
}

ruleset!(
    /// Operations control over a stream of departures and observations.
    pub flight_ops = 1:
        ground_stop, late, weather_late, carrier_late,
        meltdown, stranded, knock_on, alert_meltdown, alert_stranded, close_day;
    facts: Cursor, Tally
);

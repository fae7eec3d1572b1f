//! The operations control at work: feeds a session hour by hour, and delivers what it says.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use steadfast::prelude::*;
use steadfast::{ChangeError, Stage};

use crate::alerts::AlertsFile;
use crate::data::{Data, Hour};
use crate::facts::{
    Alert, CarrierLate, Cursor, Day, DayClosed, Flight, GroundStop, Late, Meltdown, Tally,
    WeatherLate,
};
use crate::failure::{Failure, Result};
use crate::report::Figures;
use crate::rules::flight_ops;

/// Observations of hour 23 arrive in hour 24; then the day closes.
const LAST_HOUR: u8 = 24;
const CLOSED: u8 = LAST_HOUR + 1;
/// How many steps a day has.
pub const STEPS: u64 = CLOSED as u64 + 1;

/// Where a session and its alerts live.
#[derive(Clone, Debug)]
pub struct Place {
    /// Directory of the session.
    pub session: PathBuf,
    /// The alerts file; none for one in the session's directory.
    pub alerts: Option<PathBuf>,
}

impl Place {
    fn journal(&self) -> PathBuf {
        self.session.join("journal")
    }

    fn alerts(&self) -> PathBuf {
        self.alerts.clone().unwrap_or_else(|| self.session.join("alerts.csv"))
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps that are done.
    pub done: u64,
    /// Steps of the whole data.
    pub total: u64,
}

/// How long a session may be held by somebody else: a killed process needs a moment to let go of it.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Control<'a> {
    data: &'a Data,
    session: Session,
    alerts: AlertsFile,
    cursor: Handle<Cursor>,
    tally: Handle<Tally>,
    recovery: Option<Duration>,
}

impl<'a> Control<'a> {
    /// Opens the session, or makes it, and finishes what a kill interrupted.
    pub fn open(data: &'a Data, place: &Place, sync: Sync) -> Result<Self> {
        std::fs::create_dir_all(&place.session)
            .map_err(|source| Failure::Directory { path: place.session.clone(), source })?;
        let start = Instant::now();
        let mut session = open_session(place, sync)?;
        let mut alerts = AlertsFile::open(&place.alerts(), session.id())?;
        settle(&mut session, &mut alerts)?;
        let recovery = session.recovery().filter(|found| !found.created).map(|_| start.elapsed());
        let found = (first::<Cursor>(&mut session)?, first::<Tally>(&mut session)?);
        let (cursor, tally) = match found {
            (Some(cursor), Some(tally)) => (cursor, tally),
            _ => begin(&mut session, data)?,
        };
        Ok(Self { data, session, alerts, cursor, tally, recovery })
    }

    /// How long it took to bring the session back; none for a new one.
    pub fn recovery(&self) -> Option<Duration> {
        self.recovery
    }

    /// Goes on from where the session stands to the end of the data.
    pub fn run(mut self, watch: &mut dyn FnMut(Progress)) -> Result<Figures> {
        let total = self.data.days.len() as u64 * STEPS;
        let data = self.data;
        for (index, (&day, hours)) in data.days.iter().enumerate() {
            for hour in 0..=CLOSED {
                if self.is_done(day, hour) {
                    continue;
                }
                if hour == CLOSED {
                    self.close(day)?;
                } else {
                    self.advance(day, hour, hours)?;
                }
                settle(&mut self.session, &mut self.alerts)?;
                watch(Progress { done: index as u64 * STEPS + u64::from(hour) + 1, total });
            }
        }
        let tally = self.session.get(self.tally).cloned().unwrap_or_default();
        let figures = Figures::new(&tally, &self.alerts.read_back()?);
        self.session.close()?;
        Ok(figures)
    }

    fn is_done(&self, day: Day, hour: u8) -> bool {
        let cursor = self.session.get(self.cursor);
        cursor.is_some_and(|cursor| (day, hour) <= (cursor.day, cursor.hour))
    }

    fn advance(&mut self, day: Day, hour: u8, hours: &[Hour; 24]) -> Result<()> {
        let cursor = self.cursor;
        self.session.transact(|tx| {
            tx.update(cursor, |cursor| *cursor = Cursor { day, hour })?;
            Ok(stage_hour(tx, hour, hours)?)
        })?;
        Ok(())
    }

    /// Counts a day and closes it, in one transaction: a kill cannot count it twice.
    fn close(&mut self, day: Day) -> Result<()> {
        let counted = count(&mut self.session)?;
        let (cursor, tally) = (self.cursor, self.tally);
        self.session.transact(|tx| {
            tx.update(cursor, |cursor| *cursor = Cursor { day, hour: CLOSED })?;
            tx.update(tally, |tally| *tally += counted)?;
            tx.insert(DayClosed { day })?;
            Ok(())
        })?;
        Ok(())
    }
}

fn open_session(place: &Place, sync: Sync) -> Result<Session> {
    let start = Instant::now();
    loop {
        match Session::durable(place.journal()).sync(sync).open(flight_ops()) {
            Err(error) if error.code() == "SF0005" && start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(10));
            }
            opened => return Ok(opened?),
        }
    }
}

/// Fires what is pending, then delivers what the rules have to say.
///
/// This is also all that a resumed run needs: a kill may have come between an hour's transaction and
/// its firings, or between them and a delivery, and both still wait.
fn settle(session: &mut Session, alerts: &mut AlertsFile) -> Result<()> {
    session.fire_all()?;
    for alert in session.effects::<Alert>()? {
        alerts.append(alert.key, &alert)?;
        session.acknowledge(alert.key)?;
    }
    Ok(())
}

fn first<T: Fact>(session: &mut Session) -> Result<Option<Handle<T>>> {
    Ok(session.query::<T>()?.first().map(Ref::handle))
}

/// The first transaction of a session: the aircraft, and the first hour of the first day.
fn begin(session: &mut Session, data: &Data) -> Result<(Handle<Cursor>, Handle<Tally>)> {
    let (&day, hours) = data.days.first_key_value().ok_or(Failure::NoDays)?;
    let begun = session.transact(|tx| {
        for plane in &data.planes {
            tx.insert(plane.clone())?;
        }
        stage_hour(tx, 0, hours)?;
        Ok((tx.insert(Cursor { day, hour: 0 })?, tx.insert(Tally::default())?))
    })?;
    Ok(begun)
}

/// The observations of the hour before, which arrive an hour late, then the hour's departures.
fn stage_hour(tx: &mut Stage<'_>, hour: u8, hours: &[Hour; 24]) -> Result<(), ChangeError> {
    let hour = usize::from(hour);
    if let Some(before) = hour.checked_sub(1) {
        for weather in &hours[before].weather {
            tx.insert(weather.clone())?;
        }
    }
    for flight in hours.get(hour).iter().flat_map(|hour| &hour.flights) {
        tx.insert(flight.clone())?;
    }
    Ok(())
}

/// What the table says of the day that is about to close: nothing else is in the session.
fn count(session: &mut Session) -> Result<Tally> {
    let flights = session.query::<Flight>()?;
    let cancelled = flights.iter().filter(|flight| flight.cancelled).count() as u64;
    Ok(Tally {
        flights: flights.len() as u64,
        cancelled,
        late: session.query::<Late>()?.len() as u64,
        ground_stops: session.query::<GroundStop>()?.len() as u64,
        weather_late: session.query::<WeatherLate>()?.len() as u64,
        carrier_late: session.query::<CarrierLate>()?.len() as u64,
        meltdowns_standing: session.query::<Meltdown>()?.len() as u64,
    })
}

//! The operations control at work: feeds a session hour by hour, and delivers what it says.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use steadfast::prelude::*;
use steadfast::{ChangeError, Stage};

use crate::alerts::AlertsFile;
use crate::data::{Data, Hour};
use crate::facts::{
    Alert, CarrierLate, Cursor, Date, DayClosed, Flight, GroundStop, Late, Meltdown, Tally,
    WeatherLate,
};
use crate::failure::{Failure, Result};
use crate::report::Figures;
use crate::rules::flight_ops;

/// Observations of hour 23 arrive in hour 24; then the day closes.
const LAST_HOUR: u8 = 24;
const CLOSED: u8 = LAST_HOUR + 1;
/// How many steps a day has.
const STEPS: u64 = CLOSED as u64 + 1;

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

/// How a run gets on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// The session takes work.
    Ready {
        /// How long it took to bring the session back; none for a new one.
        recovery: Option<Duration>,
        /// Flights of the days that it has closed.
        flights: u64,
        /// Steps that are done, of all.
        done: u64,
        total: u64,
    },
    Step {
        day: Date,
        done: u64,
    },
    Finished(Figures),
}

/// Told how a run gets on; an error ends it.
pub type Watch<'a> = &'a mut dyn FnMut(Message) -> Result<()>;

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
        let start = Instant::now();
        let path = &place.session;
        fs::create_dir_all(path).map_err(|source| Failure::Io {
            verb: "make the directory",
            path: path.clone(),
            source,
        })?;
        let session = open_session(place, sync)?;
        let control = Self::lead(data, place, session)?;
        let is_new = control.session.recovery().is_none_or(|found| found.created);
        Ok(Self { recovery: (!is_new).then(|| start.elapsed()), ..control })
    }

    /// Works on a session that was opened, and finishes what was interrupted.
    pub fn lead(data: &'a Data, place: &Place, mut session: Session) -> Result<Self> {
        let mut alerts = AlertsFile::open(&place.alerts(), session.id())?;
        settle(&mut session, &mut alerts)?;
        let found = (first::<Cursor>(&mut session)?, first::<Tally>(&mut session)?);
        let (cursor, tally) = if let (Some(cursor), Some(tally)) = found {
            (cursor, tally)
        } else {
            let begun = begin(&mut session, data)?;
            settle(&mut session, &mut alerts)?;
            begun
        };
        Ok(Self { data, session, alerts, cursor, tally, recovery: None })
    }

    /// Goes on from where the session stands to the end of the data.
    pub fn run(mut self, watch: Watch<'_>) -> Result<()> {
        let days = &self.data.days;
        watch(Message::Ready {
            recovery: self.recovery,
            flights: self.tally().flights,
            done: self.done(),
            total: days.len() as u64 * STEPS,
        })?;
        for (&day, hours) in days {
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
                watch(Message::Step { day, done: self.done() })?;
            }
        }
        let figures = Figures::new(&self.tally(), &self.alerts.read_back()?);
        self.session.close()?;
        watch(Message::Finished(figures))
    }

    fn is_done(&self, day: Date, hour: u8) -> bool {
        let cursor = self.session.get(self.cursor);
        cursor.is_some_and(|cursor| (day, hour) <= (cursor.day, cursor.hour))
    }

    /// How many steps are done, of all days.
    fn done(&self) -> u64 {
        let Some(cursor) = self.session.get(self.cursor) else {
            return 0;
        };
        let days = self.data.days.range(..cursor.day).count() as u64;
        days * STEPS + u64::from(cursor.hour) + 1
    }

    fn tally(&self) -> Tally {
        self.session.get(self.tally).cloned().unwrap_or_default()
    }

    fn advance(&mut self, day: Date, hour: u8, hours: &[Hour; 24]) -> Result<()> {
        let cursor = self.cursor;
        self.session.transact(|tx| {
            tx.update(cursor, |cursor| *cursor = Cursor { day, hour })?;
            Ok(stage_hour(tx, hour, hours)?)
        })?;
        Ok(())
    }

    /// Counts a day and closes it, in one transaction: a kill cannot count it twice.
    fn close(&mut self, day: Date) -> Result<()> {
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
    let (&day, hours) = data.days.first_key_value().expect("flights without rows are refused");
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

/// The day's part of the table, before it closes: the session holds no flights of any other day.
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

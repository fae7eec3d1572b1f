//! What a run came to: as a table, or as JSON.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::alerts::Alerts;
use crate::control::Message;
use crate::facts::Tally;
use crate::failure::{Failure, Result};
use crate::options::Options;

/// The table's figures, and the digest of the alerts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub flights: u64,
    pub cancelled: u64,
    pub late: u64,
    pub ground_stops: u64,
    pub weather_late: u64,
    pub carrier_late: u64,
    pub meltdown_alerts: u64,
    pub meltdowns_standing: u64,
    pub knock_on: u64,
    pub stranded: u64,
    pub alerts: u64,
    pub digest: String,
}

impl Figures {
    pub fn new(tally: &Tally, alerts: &Alerts) -> Self {
        Self {
            flights: tally.flights,
            cancelled: tally.cancelled,
            late: tally.late,
            ground_stops: tally.ground_stops,
            weather_late: tally.weather_late,
            carrier_late: tally.carrier_late,
            meltdown_alerts: alerts.count_of("meltdown"),
            meltdowns_standing: tally.meltdowns_standing,
            knock_on: alerts.count_of("knock_on"),
            stranded: alerts.count_of("stranded"),
            alerts: alerts.count(),
            digest: alerts.digest(),
        }
    }

    /// What January 2013 gives, as counted by other means than these rules.
    fn january() -> Self {
        Self {
            flights: 27_004,
            cancelled: 521,
            late: 1_852,
            ground_stops: 134,
            weather_late: 132,
            carrier_late: 1_720,
            meltdown_alerts: 32,
            meltdowns_standing: 31,
            knock_on: 531,
            stranded: 6,
            alerts: 569,
            digest: "1871cb93eba6dc8d1101b53981b5dbbd72eb6314e5289d425ffbec19e9989b3d".to_owned(),
        }
    }

    fn rows(&self) -> [(&'static str, u64); 11] {
        [
            ("flights", self.flights),
            ("cancelled", self.cancelled),
            ("late", self.late),
            ("observations that stop departures", self.ground_stops),
            ("late by the weather", self.weather_late),
            ("late by the carrier", self.carrier_late),
            ("meltdown alerts", self.meltdown_alerts),
            ("meltdowns standing at the close of the day", self.meltdowns_standing),
            ("knock-on alerts", self.knock_on),
            ("stranded alerts", self.stranded),
            ("alerts", self.alerts),
        ]
    }
}

/// A run as it is told to somebody.
#[derive(Debug)]
pub struct Outcome {
    expected: Option<Figures>,
    figures: Option<Figures>,
    bar: ProgressBar,
    /// When the session took work for the first time, and its flights then.
    begun: Option<(Instant, u64)>,
    elapsed: Duration,
    kills: usize,
    recoveries: Vec<Duration>,
    seed: u64,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    kills: usize,
    recoveries: usize,
    recovery_ms_mean: f64,
    recovery_ms_max: f64,
    seconds: f64,
    flights_per_second: f64,
    seed: u64,
}

impl Outcome {
    pub fn begin(options: &Options) -> Self {
        // On a terminal only, and beside the table: on stderr.
        let style = "{msg:10} {bar:40} {percent:>3} %, {eta} to go";
        let bar = match ProgressStyle::with_template(style) {
            Ok(style) if io::stderr().is_terminal() => ProgressBar::new(0).with_style(style),
            _ => ProgressBar::hidden(),
        };
        Self {
            expected: options.data.is_none().then(Figures::january),
            figures: None,
            bar,
            begun: None,
            elapsed: Duration::ZERO,
            kills: 0,
            recoveries: Vec::new(),
            seed: options.seed,
        }
    }

    pub fn take(&mut self, message: Message) {
        match message {
            Message::Ready { recovery, flights, done, total } => {
                self.begun.get_or_insert((Instant::now(), flights));
                self.recoveries.extend(recovery);
                self.bar.set_length(total);
                self.bar.set_position(done);
            }
            Message::Step { day, done } => {
                self.bar.set_message(day.to_string());
                self.bar.set_position(done);
            }
            Message::Finished(figures) => {
                self.elapsed = self.begun.map_or(Duration::ZERO, |(begun, _)| begun.elapsed());
                self.bar.finish_and_clear();
                self.figures = Some(figures);
            }
        }
    }

    pub fn crashed(&mut self) {
        self.kills += 1;
    }

    /// Whether the run gave what its data must give.
    pub fn verdict(&self) -> Result<()> {
        let differs = self.expected.is_some() && self.expected != self.figures;
        if differs { Err(Failure::Differs) } else { Ok(()) }
    }

    pub fn json(&self) -> String {
        let Some(figures) = &self.figures else {
            return String::new();
        };
        let (mean, max) = self.recovery_ms();
        let json = Json {
            figures,
            kills: self.kills,
            recoveries: self.recoveries.len(),
            recovery_ms_mean: mean,
            recovery_ms_max: max,
            seconds: self.elapsed.as_secs_f64(),
            flights_per_second: self.rate(figures),
            seed: self.seed,
        };
        serde_json::to_string(&json).expect("figures are plain data") + "\n"
    }

    pub fn table(&self) -> String {
        let Some(figures) = &self.figures else {
            return String::new();
        };
        let mut text = format!("{:42} {:>10}", "", "this run");
        text += if self.expected.is_some() { "    January\n" } else { "\n" };
        let expected = self.expected.as_ref().map(Figures::rows);
        for (row, (name, figure)) in figures.rows().into_iter().enumerate() {
            let _infallible = write!(text, "{name:42} {:>10}", grouped(figure));
            if let Some(expected) = expected {
                let _infallible = write!(text, " {:>10}", grouped(expected[row].1));
            }
            text.push('\n');
        }
        let _infallible = writeln!(text, "\nsha256 of the sorted alerts: {}", figures.digest);
        if let Some(expected) = &self.expected {
            let verdict = if expected.digest == figures.digest {
                "that of January".to_owned()
            } else {
                format!("January's is {}", expected.digest)
            };
            let _infallible = writeln!(text, "                             {verdict}");
        }
        text + "\n" + &self.story(figures)
    }

    /// Rates, crashes and recoveries.
    fn story(&self, figures: &Figures) -> String {
        let mut text = format!(
            "{} flights in {:.1} s: {} flights/s\n{} crashes survived",
            grouped(self.taken(figures)),
            self.elapsed.as_secs_f64(),
            grouped(format!("{:.0}", self.rate(figures))),
            self.kills,
        );
        if !self.recoveries.is_empty() {
            let (mean, max) = self.recovery_ms();
            let count = self.recoveries.len();
            let _infallible =
                write!(text, "; {count} recoveries: mean {mean:.1} ms, max {max:.1} ms");
        }
        text + "\n"
    }

    fn rate(&self, figures: &Figures) -> f64 {
        let flights = u32::try_from(self.taken(figures)).unwrap_or(u32::MAX);
        f64::from(flights) / self.elapsed.as_secs_f64().max(0.001)
    }

    /// The flights that this run took in, which is not all of them if it went on with another's work.
    fn taken(&self, figures: &Figures) -> u64 {
        figures.flights - self.begun.map_or(0, |(_, before)| before)
    }

    fn recovery_ms(&self) -> (f64, f64) {
        let count = u32::try_from(self.recoveries.len()).unwrap_or(u32::MAX);
        let mean = self.recoveries.iter().sum::<Duration>() / count.max(1);
        let max = self.recoveries.iter().max().copied().unwrap_or_default();
        (millis(mean), millis(max))
    }
}

/// Milliseconds to a microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A whole number with a comma between thousands.
fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn print(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::Output)
}

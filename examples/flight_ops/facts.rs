//! What the operations control knows: what it is told, what its rules derive, what it tells.

use std::fmt;
use std::ops::AddAssign;

use steadfast::prelude::*;

/// A carrier, an airport or a tail number: up to six ASCII characters, kept inline so that facts
/// copy them freely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Code([u8; 6]);

impl Code {
    pub fn new(text: &str) -> Option<Self> {
        let fits =
            !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| {
            let mut code = [0; 6];
            code[..text.len()].copy_from_slice(text.as_bytes());
            Self(code)
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        f.pad(&String::from_utf8_lossy(text))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A day of the calendar, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date {
    pub year: u16,
    pub month: u8,
    pub day: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

// ---- What it is told. ----

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plane {
    #[fact(key)]
    pub tailnum: Code,
    pub seats: u32,
}

/// An hour's observation at an airport: miles and miles per hour, where they were measured.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Weather {
    pub origin: Code,
    pub day: Date,
    pub hour: u8,
    pub visibility: Option<f64>,
    pub wind_speed: Option<f64>,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Flight {
    #[fact(key)]
    pub id: u32,
    pub carrier: Code,
    pub tailnum: Option<Code>,
    pub origin: Code,
    pub destination: Code,
    pub day: Date,
    pub hour: u8,
    /// Minutes after midnight.
    pub scheduled: u16,
    /// Minutes; none if it never departed.
    pub departure_delay: Option<i32>,
    /// Minutes; none if it never arrived, or not where it was bound.
    pub arrival_delay: Option<i32>,
    pub cancelled: bool,
}

/// Nothing more comes for a day.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DayClosed {
    pub day: Date,
}

// ---- What its rules derive. ----

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroundStop {
    pub origin: Code,
    pub day: Date,
    pub hour: u8,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Late {
    pub flight: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WeatherLate {
    pub flight: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CarrierLate {
    pub flight: u32,
    pub carrier: Code,
    pub origin: Code,
    pub day: Date,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Meltdown {
    pub carrier: Code,
    pub origin: Code,
    pub day: Date,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stranded {
    pub origin: Code,
    pub day: Date,
}

// ---- What it tells. ----

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Alert {
    KnockOn { previous: u32, next: u32 },
    Meltdown { day: Date, carrier: Code, origin: Code },
    Stranded { day: Date, origin: Code },
}

/// The line of the alerts file.
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KnockOn { previous, next } => write!(f, "knock_on,{previous},{next}"),
            Self::Meltdown { day, carrier, origin } => {
                write!(f, "meltdown,{day},{carrier},{origin}")
            }
            Self::Stranded { day, origin } => write!(f, "stranded,{day},{origin}"),
        }
    }
}

// ---- How far it has got: facts too, so that a restart finds them. ----

/// The step up to which the session has taken everything in.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cursor {
    pub day: Date,
    /// 0 to 24, and one more once the day is closed.
    pub hour: u8,
}

/// The table's figures over all closed days.
#[derive(Fact, Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tally {
    pub flights: u64,
    pub cancelled: u64,
    pub late: u64,
    pub ground_stops: u64,
    pub weather_late: u64,
    pub carrier_late: u64,
    pub meltdowns_standing: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, day: Self) {
        self.flights += day.flights;
        self.cancelled += day.cancelled;
        self.late += day.late;
        self.ground_stops += day.ground_stops;
        self.weather_late += day.weather_late;
        self.carrier_late += day.carrier_late;
        self.meltdowns_standing += day.meltdowns_standing;
    }
}

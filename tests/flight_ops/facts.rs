//! The example's facts as a later version of it may have them: its tally counts something else.

use steadfast::prelude::*;

pub(crate) use crate::present::{
    Alert, CarrierLate, Code, Cursor, Date, DayClosed, Flight, GroundStop, Late, Meltdown, Plane,
    Stranded, Weather, WeatherLate,
};

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(version = 2)]
pub(crate) struct Tally {
    pub(crate) passengers: u64,
}

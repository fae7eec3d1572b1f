//! The figures of a run.

use serde::{Deserialize, Serialize};

use crate::alerts::Alerts;
use crate::facts::Tally;

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
}

//! Schedules from cron expressions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::timing::{Schedule, Timer};

impl Timer {
    /// The times of a cron expression of six fields, seconds first, in UTC: the session's clock is taken
    /// as milliseconds since 1970-01-01.
    ///
    /// An expression that cannot be read makes a timer with which no ruleset is valid.
    pub fn cron(text: &str) -> Self {
        let text = text.to_owned();
        let parser = CronParser::builder().seconds(Seconds::Required).build();
        match parser.parse(&text) {
            Ok(cron) => Self::Schedule { text, times: Arc::new(Expression(cron)) },
            Err(error) => Self::Unreadable { text, detail: error.to_string() },
        }
    }
}

struct Expression(Cron);

/// The session's clock as a date; none beyond the calendar.
fn date(millis: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis)
}

impl Schedule for Expression {
    fn after(&self, millis: i64) -> Option<i64> {
        let next = self.0.find_next_occurrence(&date(millis)?, false).ok()?;
        Some(next.timestamp_millis())
    }

    fn until(&self, millis: i64) -> Option<i64> {
        let last = self.0.find_previous_occurrence(&date(millis)?, true).ok()?;
        Some(last.timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn expressions_have_seconds_and_are_in_utc() {
        let timer = Timer::cron("0 */5 * * * *");
        assert_eq!(timer.first(0), Some(5 * MINUTE));
        assert_eq!(timer.first(5 * MINUTE - 1), Some(5 * MINUTE));
        assert_eq!(timer.first(5 * MINUTE), Some(10 * MINUTE));
        // 2026-03-29 is the day on which clocks in Europe change; here nothing does.
        let day = 1_774_742_400_000;
        let noon = Timer::cron("0 0 12 * * *");
        assert_eq!(noon.first(day), Some(day + 720 * MINUTE));
    }

    #[test]
    fn times_that_were_passed_are_caught_up_in_one_step() {
        let timer = Timer::cron("30 * * * * *");
        let half = MINUTE / 2;
        assert_eq!(timer.reached(half, half), (half, Some(half + MINUTE)));
        assert_eq!(
            timer.reached(half, 100 * MINUTE),
            (100 * MINUTE - half, Some(100 * MINUTE + half))
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for wrong in ["", "* * * * *", "0 0 25 * * *", "every day"] {
            assert!(matches!(Timer::cron(wrong), Timer::Unreadable { .. }), "{wrong}");
        }
    }
}

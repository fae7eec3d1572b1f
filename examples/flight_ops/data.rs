//! Reads departures, observations and aircraft from CSV files, plain or compressed.
//!
//! Columns are found by their names, so that files may have more of them, in any order. Everything is
//! checked before the session opens: a bad row is refused with its place, and nothing has happened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::facts::{Code, Date, Flight, Plane, Weather};

/// What happens in one hour of a day.
#[derive(Debug, Default)]
pub struct Hour {
    pub weather: Vec<Weather>,
    pub flights: Vec<Flight>,
}

#[derive(Debug)]
pub struct Data {
    pub planes: Vec<Plane>,
    /// In the order of the calendar, which is not that of the file.
    pub days: BTreeMap<Date, [Hour; 24]>,
}

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("failed to open `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` has none of {name}.csv, {name}.csv.gz, {name}.csv.xz", dir.display())]
    Missing { dir: PathBuf, name: &'static str },
    #[error("{}, line 1: there is no column `{column}`", path.display())]
    Column { path: PathBuf, column: &'static str },
    #[error("{}, line {line}: expected {expected} columns, found {found}", path.display())]
    Width { path: PathBuf, line: u64, expected: u64, found: u64 },
    #[error(
        "{}, line {line}, column {column} (`{name}`): expected {expected}, found `{found}`",
        path.display()
    )]
    Cell {
        path: PathBuf,
        line: u64,
        /// From 1.
        column: usize,
        name: &'static str,
        expected: &'static str,
        found: String,
    },
    #[error("{}, line {line}: the row is not readable", path.display())]
    Row {
        path: PathBuf,
        line: u64,
        #[source]
        source: csv::Error,
    },
    #[error("{} has no rows", path.display())]
    Empty { path: PathBuf },
}

type Result<T, E = DataError> = std::result::Result<T, E>;

impl Data {
    /// Reads `flights`, `weather` and `planes` from a directory.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut days = BTreeMap::<Date, [Hour; 24]>::new();
        let flights = Table::open(dir, "flights")?;
        let path = flights.path.clone();
        let read = flights.each(&FLIGHT, |id, row| {
            let flight = flight(id, row)?;
            let day = days.entry(flight.day).or_default();
            day[usize::from(flight.hour)].flights.push(flight);
            Ok(())
        })?;
        if read == 0 {
            return Err(DataError::Empty { path });
        }
        Table::open(dir, "weather")?.each(&WEATHER, |_, row| {
            let weather = weather(row)?;
            let day = days.entry(weather.day).or_default();
            day[usize::from(weather.hour)].weather.push(weather);
            Ok(())
        })?;
        let mut planes = Vec::new();
        Table::open(dir, "planes")?.each(&PLANE, |_, row| {
            planes
                .push(Plane { tailnum: row.code(0)?, seats: row.number(1, "a number of seats")? });
            Ok(())
        })?;
        Ok(Self { planes, days })
    }
}

const FLIGHT: [&str; 12] = [
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "dep_time",
    "dep_delay",
    "arr_delay",
    "carrier",
    "tailnum",
    "origin",
    "dest",
];

fn flight(id: u32, row: &Row<'_>) -> Result<Flight> {
    let (hour, minute) = (row.hour(3)?, row.bounded(4, 59, "a minute, 0 to 59")?);
    Ok(Flight {
        id,
        carrier: row.code(8)?,
        tailnum: if row.is_missing(9) { None } else { Some(row.code(9)?) },
        origin: row.code(10)?,
        destination: row.code(11)?,
        day: row.day()?,
        hour,
        scheduled: u16::from(hour) * 60 + u16::from(minute),
        departure_delay: row.optional(6, "minutes or NA")?,
        arrival_delay: row.optional(7, "minutes or NA")?,
        cancelled: row.optional::<u16>(5, "a time as HHMM, or NA")?.is_none(),
    })
}

const WEATHER: [&str; 7] = ["year", "month", "day", "hour", "origin", "visib", "wind_speed"];

fn weather(row: &Row<'_>) -> Result<Weather> {
    Ok(Weather {
        origin: row.code(4)?,
        day: row.day()?,
        hour: row.hour(3)?,
        visibility: row.optional(5, "miles or NA")?,
        wind_speed: row.optional(6, "miles per hour or NA")?,
    })
}

const PLANE: [&str; 2] = ["tailnum", "seats"];

/// A file of rows under a header.
struct Table {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
}

impl Table {
    fn open(dir: &Path, name: &'static str) -> Result<Self> {
        let open = |path: &Path, source| DataError::Open { path: path.into(), source };
        std::fs::read_dir(dir).map_err(|source| open(dir, source))?;
        let paths = ["csv", "csv.gz", "csv.xz"].map(|kind| dir.join(format!("{name}.{kind}")));
        let Some(path) = paths.into_iter().find(|path| path.exists()) else {
            return Err(DataError::Missing { dir: dir.into(), name });
        };
        let file = File::open(&path).map_err(|source| open(&path, source))?;
        let file = BufReader::new(file);
        let bytes: Box<dyn Read> = match path.extension().and_then(|kind| kind.to_str()) {
            Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Some("xz") => Box::new(lzma_rust2::XzReader::new(file, true)),
            _ => Box::new(file),
        };
        Ok(Self { path, reader: csv::Reader::from_reader(bytes) })
    }

    /// Calls `take` with the number, from 0, and the `columns` of every row; says how many there were.
    fn each(
        mut self,
        columns: &[&'static str],
        mut take: impl FnMut(u32, &Row<'_>) -> Result<()>,
    ) -> Result<u32> {
        let path = &self.path;
        let header = self.reader.headers().map_err(|error| row_error(path, error))?;
        let place = |column: &&'static str| {
            let place = header.iter().position(|name| name == *column);
            place.ok_or_else(|| DataError::Column { path: path.clone(), column })
        };
        let places = columns.iter().map(place).collect::<Result<Vec<_>>>()?;
        let mut record = StringRecord::new();
        let mut number = 0;
        while self.reader.read_record(&mut record).map_err(|error| row_error(path, error))? {
            take(number, &Row { path, columns, places: &places, record: &record })?;
            number += 1;
        }
        Ok(number)
    }
}

fn row_error(path: &Path, error: csv::Error) -> DataError {
    let path = path.to_owned();
    let line = error.position().map_or(1, csv::Position::line);
    match *error.kind() {
        csv::ErrorKind::Io(_) => DataError::Read { path, source: error.into() },
        csv::ErrorKind::UnequalLengths { expected_len: expected, len: found, .. } => {
            DataError::Width { path, line, expected, found }
        }
        _ => DataError::Row { path, line, source: error },
    }
}

/// The cells of a row that somebody asked for, by their place in the question.
struct Row<'a> {
    path: &'a Path,
    columns: &'a [&'static str],
    places: &'a [usize],
    record: &'a StringRecord,
}

impl Row<'_> {
    fn cell(&self, index: usize) -> &str {
        self.record.get(self.places[index]).unwrap_or_default()
    }

    fn is_missing(&self, index: usize) -> bool {
        matches!(self.cell(index), "" | "NA")
    }

    fn code(&self, index: usize) -> Result<Code> {
        let code = Code::new(self.cell(index));
        code.ok_or_else(|| self.bad(index, "a code of 1 to 6 characters"))
    }

    fn number<T: std::str::FromStr>(&self, index: usize, expected: &'static str) -> Result<T> {
        self.cell(index).parse().map_err(|_| self.bad(index, expected))
    }

    fn optional<T: std::str::FromStr>(
        &self,
        index: usize,
        expected: &'static str,
    ) -> Result<Option<T>> {
        if self.is_missing(index) { Ok(None) } else { self.number(index, expected).map(Some) }
    }

    fn bounded(&self, index: usize, max: u8, expected: &'static str) -> Result<u8> {
        let number = self.number(index, expected)?;
        if number <= max { Ok(number) } else { Err(self.bad(index, expected)) }
    }

    fn hour(&self, index: usize) -> Result<u8> {
        self.bounded(index, 23, "an hour, 0 to 23")
    }

    /// Year, month and day are the first columns of every question that has a day.
    fn day(&self) -> Result<Date> {
        let year = self.number(0, "a year")?;
        let month = self.bounded(1, 12, "a month, 1 to 12")?;
        let day = self.bounded(2, 31, "a day, 1 to 31")?;
        Ok(Date { year, month, day })
    }

    fn bad(&self, index: usize, expected: &'static str) -> DataError {
        DataError::Cell {
            path: self.path.to_owned(),
            line: self.record.position().map_or(1, csv::Position::line),
            column: self.places[index] + 1,
            name: self.columns[index],
            expected,
            found: self.cell(index).to_owned(),
        }
    }
}

//! Trip records of the NYC Taxi & Limousine Commission as CSV, yellow and green, turned into trip
//! events: one JSON object a row, with the members of the replayed taxi data set.
//!
//! * Columns are found by the header, upper or lower case, in any order; columns that no event has a
//!   member for are left out. Members stand in the data set's order, then those that newer files add.
//! * A null (an empty field) leaves its member out.
//! * Numbers are written as the file spells them, so that they survive to the bit; only what JSON
//!   cannot spell (`.5`) is respelled, and a whole number in an integer column loses its `.0`.
//! * Times are New York local time in the file and carry a `Z` in the event, as in the replayed data
//!   set: an event's hours are the city's hours, and nothing is lost or doubled when clocks change.
//! * `trip_id` is a hash of cab type, row number and the row's bytes: the same file gives the same
//!   ids on every machine. It is at least 1 and below 2^63.
//! * A row's position is its number after the header, from 1. Empty lines count, but are no rows.
//! * A row that makes no event (wrong number of columns, a bad number or time) is passed on as its
//!   line of CSV: the pipeline makes a dead letter of it, and the file goes on.
//!
//! Files of 2009 to June 2016 have coordinates and no zones; they are refused, as no table maps
//! coordinates to a borough.

use std::io;
use std::str;

use xxhash_rust::xxh3::xxh3_64;

use super::text::{Line, LineReader};
use super::{Entry, NumberedRecord};

/// Why a CSV file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a header of trip records.
    #[error(
        "its first line is no header of yellow or green trip records: neither tpep_pickup_datetime nor \
         lpep_pickup_datetime is among its columns"
    )]
    NotTrips,
    /// For-hire vehicles.
    #[error(
        "it holds for-hire vehicle trips; as CSV only yellow and green ones are read: take the Parquet file"
    )]
    ForHire,
    /// A file from before the taxi zones.
    #[error(
        "it has coordinates instead of taxi zones (trip records up to June 2016); use files with a PULocationID column"
    )]
    Coordinates,
    /// A column without which no row is a trip.
    #[error("its header has no column {0}; is the file complete?")]
    Missing(String),
    /// A column that stands there twice.
    #[error("its header has the column {0} twice; remove one")]
    Twice(String),
}

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Decimal,
    Time,
    Text,
    /// Not from a column: `trip_id` and `type`.
    Identity,
    /// Not from a column: `cab_type`.
    Cab,
}

/// Members of an event in their order, with the column they come from, in lower case; `?pep` stands
/// for `tpep` (yellow) and `lpep` (green).
pub(super) const MEMBERS: [(&str, &str, Kind); 24] = [
    ("vendor_id", "vendorid", Kind::Integer),
    ("pickup_datetime", "?pep_pickup_datetime", Kind::Time),
    ("dropoff_datetime", "?pep_dropoff_datetime", Kind::Time),
    ("passenger_count", "passenger_count", Kind::Integer),
    ("trip_distance", "trip_distance", Kind::Decimal),
    ("ratecode_id", "ratecodeid", Kind::Integer),
    ("store_and_fwd_flag", "store_and_fwd_flag", Kind::Text),
    ("pickup_location_id", "pulocationid", Kind::Integer),
    ("dropoff_location_id", "dolocationid", Kind::Integer),
    ("payment_type", "payment_type", Kind::Integer),
    ("fare_amount", "fare_amount", Kind::Decimal),
    ("extra", "extra", Kind::Decimal),
    ("mta_tax", "mta_tax", Kind::Decimal),
    ("tip_amount", "tip_amount", Kind::Decimal),
    ("tolls_amount", "tolls_amount", Kind::Decimal),
    ("improvement_surcharge", "improvement_surcharge", Kind::Decimal),
    ("total_amount", "total_amount", Kind::Decimal),
    ("trip_id", "", Kind::Identity),
    ("congestion_surcharge", "congestion_surcharge", Kind::Decimal),
    ("airport_fee", "airport_fee", Kind::Decimal),
    ("cbd_congestion_fee", "cbd_congestion_fee", Kind::Decimal),
    ("ehail_fee", "ehail_fee", Kind::Decimal),
    ("trip_type", "trip_type", Kind::Integer),
    ("cab_type", "", Kind::Cab),
];

/// What a header says: where each member's value stands in a row.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    cab: &'static str,
    columns: usize,
    members: Vec<(&'static str, usize, Kind)>,
}

impl Header {
    pub(crate) fn parse(line: &[u8]) -> Result<Self, HeaderError> {
        let names: Vec<String> = split(line)
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .collect();
        let position = |wanted: &str| names.iter().position(|name| name == wanted);
        let (cab, initial) = match (position("tpep_pickup_datetime"), position("lpep_pickup_datetime")) {
            (Some(_), _) => ("yellow", "t"),
            (None, Some(_)) => ("green", "l"),
            (None, None) if position("dispatching_base_num").is_some() => return Err(HeaderError::ForHire),
            (None, None) if position("pickup_longitude").is_some() => return Err(HeaderError::Coordinates),
            (None, None) => return Err(HeaderError::NotTrips),
        };
        if position("pulocationid").is_none() && position("pickup_longitude").is_some() {
            return Err(HeaderError::Coordinates);
        }
        let mut members: Vec<(&'static str, usize, Kind)> = Vec::with_capacity(MEMBERS.len());
        for (member, column, kind) in MEMBERS {
            if matches!(kind, Kind::Identity | Kind::Cab) {
                members.push((member, 0, kind));
                continue;
            }
            let column = column.replace('?', initial);
            match position(&column) {
                Some(_) if names.iter().filter(|name| **name == column).count() > 1 => {
                    return Err(HeaderError::Twice(column));
                }
                Some(index) => members.push((member, index, kind)),
                None => {}
            }
        }
        let required = [
            ("dropoff_datetime", format!("{initial}pep_dropoff_datetime")),
            ("pickup_location_id", "PULocationID".to_owned()),
        ];
        for (member, column) in required {
            if !members.iter().any(|(found, ..)| *found == member) {
                return Err(HeaderError::Missing(column));
            }
        }
        Ok(Self { cab, columns: names.len(), members })
    }

    /// The id of a row. Part of what this tool promises: never change it.
    fn trip_id(&self, row: u64, line: &[u8]) -> u64 {
        let mut hashed = Vec::with_capacity(self.cab.len() + 9 + line.len());
        hashed.extend_from_slice(self.cab.as_bytes());
        hashed.push(0);
        hashed.extend_from_slice(&row.to_le_bytes());
        hashed.extend_from_slice(line);
        (xxh3_64(&hashed) >> 1).max(1)
    }

    /// A row as an event and its trip id; `None` where it makes no event.
    fn event(&self, row: u64, line: &[u8]) -> Option<(u64, Vec<u8>)> {
        let fields = split(line);
        // Files of late 2016 end their rows in two empty fields that the header does not have.
        let surplus = fields.get(self.columns..)?;
        if surplus.iter().any(|field| !field.trim_ascii().is_empty()) {
            return None;
        }
        let trip_id = self.trip_id(row, line);
        let mut event = Vec::with_capacity(512);
        event.push(b'{');
        for (member, column, kind) in &self.members {
            let field: &[u8] = match kind {
                Kind::Identity => {
                    push_member(&mut event, member);
                    event.extend_from_slice(trip_id.to_string().as_bytes());
                    push_member(&mut event, "type");
                    event.extend_from_slice(br#""trip""#);
                    continue;
                }
                Kind::Cab => self.cab.as_bytes(),
                _ => fields.get(*column)?.trim_ascii(),
            };
            if field.is_empty() {
                continue;
            }
            push_member(&mut event, member);
            match kind {
                Kind::Integer => push_integer(&mut event, field)?,
                Kind::Decimal => push_decimal(&mut event, field)?,
                Kind::Time => push_time(&mut event, field)?,
                Kind::Text | Kind::Cab | Kind::Identity => {
                    serde_json::to_writer(&mut event, str::from_utf8(field).ok()?).ok()?;
                }
            }
        }
        event.push(b'}');
        Some((trip_id, event))
    }
}

/// Reads the rows of a file whose header has been read.
pub(crate) struct TripRows {
    lines: LineReader,
    header: Header,
    header_line: u64,
    unfinished: Option<u64>,
}

impl TripRows {
    pub(crate) const fn new(lines: LineReader, header: Header, header_line: u64) -> Self {
        Self { lines, header, header_line, unfinished: None }
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.lines.next_number().saturating_sub(self.header_line)
    }

    /// Number of the last row, where that was left for the next run: a row that nothing ends may be
    /// half written, and half a number is a number.
    pub(crate) const fn unfinished(&self) -> Option<u64> {
        self.unfinished
    }

    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        while let Some((number, line)) = self.lines.next_line()? {
            let position = number.saturating_sub(self.header_line);
            match line {
                Line::Oversize(bytes) => return Ok(Some(Entry::Oversize { position, bytes })),
                Line::Whole(row) | Line::Open(row) if row.trim_ascii().is_empty() => {}
                Line::Open(_) => self.unfinished = Some(position),
                Line::Whole(row) => {
                    let (partition_key, data) = match self.header.event(position, &row) {
                        Some((trip_id, event)) => (trip_id.to_string(), event),
                        None => (position.to_string(), row),
                    };
                    return Ok(Some(Entry::Record(NumberedRecord { position, partition_key, data })));
                }
            }
        }
        Ok(None)
    }
}

/// The fields of a line. The files never quote; a line with quotes is read by the rules of CSV.
fn split(line: &[u8]) -> Vec<std::borrow::Cow<'_, [u8]>> {
    if !line.contains(&b'"') {
        return line.split(|byte| *byte == b',').map(Into::into).collect();
    }
    let mut row = csv::ByteRecord::new();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).buffer_capacity(line.len()).from_reader(line);
    match reader.read_byte_record(&mut row) {
        Ok(true) => row.iter().map(|field| field.to_vec().into()).collect(),
        _ => Vec::new(),
    }
}

/// Begins a member: a comma where one is due, and its name.
pub(super) fn push_member(event: &mut Vec<u8>, member: &str) {
    if event.len() > 1 {
        event.push(b',');
    }
    event.push(b'"');
    event.extend_from_slice(member.as_bytes());
    event.extend_from_slice(b"\":");
}

/// Text as the value that its member should have, or as text where it does not spell one.
#[cfg(feature = "parquet")]
pub(super) fn push_value(event: &mut Vec<u8>, kind: Kind, text: &str) {
    let before = event.len();
    let spelled = match kind {
        Kind::Integer => push_integer(event, text.as_bytes()),
        Kind::Decimal => push_decimal(event, text.as_bytes()),
        Kind::Time => push_time(event, text.as_bytes()),
        Kind::Text | Kind::Cab | Kind::Identity => None,
    };
    if spelled.is_none() {
        event.truncate(before);
        // Text can always be written, and a Vec takes all.
        let _ = serde_json::to_writer(event, text);
    }
}

/// `1`, also where the file says `1.0`; `None` where the field is no whole number.
fn push_integer(event: &mut Vec<u8>, field: &[u8]) -> Option<()> {
    let whole = match field.iter().position(|byte| *byte == b'.') {
        Some(point) if field.get(point + 1..)?.iter().all(|digit| *digit == b'0') => field.get(..point)?,
        Some(_) => return None,
        None => field,
    };
    let value: i64 = str::from_utf8(whole).ok()?.parse().ok()?;
    event.extend_from_slice(value.to_string().as_bytes());
    Some(())
}

/// The field as it stands where JSON spells numbers so too; `None` where it is no number.
fn push_decimal(event: &mut Vec<u8>, field: &[u8]) -> Option<()> {
    if is_json_number(field) {
        event.extend_from_slice(field);
        return Some(());
    }
    let value: f64 = str::from_utf8(field).ok()?.parse().ok()?;
    serde_json::to_writer(event, &value.is_finite().then_some(value)?).ok()
}

fn is_json_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with(b"0")) {
        return false;
    }
    match unsigned.get(whole..) {
        Some([]) => true,
        Some([b'.', fraction @ ..]) => !fraction.is_empty() && digits(fraction) == fraction.len(),
        _ => false,
    }
}

/// `2019-03-23 20:21:09` as `"2019-03-23T20:21:09.000Z"`; a fraction of a second is cut to
/// milliseconds. `None` where the field is no such time.
fn push_time(event: &mut Vec<u8>, field: &[u8]) -> Option<()> {
    let (seconds, fraction) = field.split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T', h1, h2, b':', n1, n2, b':', s1, s2] =
        seconds
    else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_u32, |sum, digit| Some(sum * 10 + char::from(**digit).to_digit(10)?))
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    let in_range = (1..=days).contains(&day) && number(&[h1, h2])? < 24 && number(&[n1, n2])? < 60;
    if !in_range || number(&[s1, s2])? > 59 {
        return None;
    }
    let mut milliseconds = *b"000";
    match fraction {
        [] => {}
        [b'.', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            for (place, digit) in milliseconds.iter_mut().zip(digits) {
                *place = *digit;
            }
        }
        _ => return None,
    }
    event.push(b'"');
    event.extend_from_slice(seconds.get(..10)?);
    event.push(b'T');
    event.extend_from_slice(seconds.get(11..)?);
    event.push(b'.');
    event.extend_from_slice(&milliseconds);
    event.extend_from_slice(b"Z\"");
    Some(())
}

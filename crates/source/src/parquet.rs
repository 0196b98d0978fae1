//! Trip records of the NYC Taxi & Limousine Commission as Parquet: yellow, green, for-hire (`fhv`) and
//! high-volume for-hire vehicles (`fhvhv`), turned into the same trip events as [`tlc`] makes
//! of CSV.
//!
//! * Columns are found by name, in upper or lower case, whatever their type in that year's files: integers
//!   that are doubles, text that is large text, columns that hold nothing but nulls.
//! * A null leaves its member out. A whole number in an integer column loses its `.0`; any other number
//!   there stays as it is, and so does what JSON cannot spell (`NaN`), as text: the pipeline makes a dead
//!   letter of the event, and the file goes on.
//! * Times are New York local time and carry a `Z`, as with CSV.
//! * `trip_id` is a hash of cab type, row number and the event's other members: the same file gives the
//!   same ids on every machine, and not those of the CSV file of that month. It is at least 1 and below
//!   2^63.
//! * A row's position is its number in the file, from 1.
//! * Members of for-hire trips are the columns' names in lower case, but for those that other trips have:
//!   `pickup_location_id`, `dropoff_location_id`, `pickup_datetime` and `dropoff_datetime`.
//!
//! Rows are read page by page: the memory needed is that of some pages of each column, whatever the size
//! of the file. Files of 2009 and 2010 have coordinates and no zones, and are refused.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use tripline_model::time;
use xxhash_rust::xxh3::xxh3_64;

use super::text::Progress;
use super::tlc::{self, HeaderError, Kind};
use super::{Entry, NumberedRecord};

const MAGIC: &[u8; 4] = b"PAR1";
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 4_096;
/// The largest whole number that a double holds with all those below it.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a Parquet file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is damaged, or written in a way that is not known.
    #[error("cannot be read as Parquet: {0}; fetch the file again if it is cut short")]
    Damaged(#[from] parquet::errors::ParquetError),
    /// Its columns are no trip records', or those of other years.
    #[error(transparent)]
    Columns(#[from] HeaderError),
    /// A column of a type that trip records never had.
    #[error("its column {column} is {found}, which trip records never had: convert it, or leave it out")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
}

/// Members of a high-volume for-hire trip, with the column they come from.
const HIGH_VOLUME: [(&str, &str, Kind); 27] = [
    ("hvfhs_license_num", "hvfhs_license_num", Kind::Text),
    ("dispatching_base_num", "dispatching_base_num", Kind::Text),
    ("originating_base_num", "originating_base_num", Kind::Text),
    ("request_datetime", "request_datetime", Kind::Time),
    ("on_scene_datetime", "on_scene_datetime", Kind::Time),
    ("pickup_datetime", "pickup_datetime", Kind::Time),
    ("dropoff_datetime", "dropoff_datetime", Kind::Time),
    ("pickup_location_id", "pulocationid", Kind::Integer),
    ("dropoff_location_id", "dolocationid", Kind::Integer),
    ("trip_miles", "trip_miles", Kind::Decimal),
    ("trip_time", "trip_time", Kind::Integer),
    ("base_passenger_fare", "base_passenger_fare", Kind::Decimal),
    ("tolls", "tolls", Kind::Decimal),
    ("bcf", "bcf", Kind::Decimal),
    ("sales_tax", "sales_tax", Kind::Decimal),
    ("congestion_surcharge", "congestion_surcharge", Kind::Decimal),
    ("airport_fee", "airport_fee", Kind::Decimal),
    ("tips", "tips", Kind::Decimal),
    ("driver_pay", "driver_pay", Kind::Decimal),
    ("shared_request_flag", "shared_request_flag", Kind::Text),
    ("shared_match_flag", "shared_match_flag", Kind::Text),
    ("access_a_ride_flag", "access_a_ride_flag", Kind::Text),
    ("wav_request_flag", "wav_request_flag", Kind::Text),
    ("wav_match_flag", "wav_match_flag", Kind::Text),
    ("cbd_congestion_fee", "cbd_congestion_fee", Kind::Decimal),
    ("trip_id", "", Kind::Identity),
    ("cab_type", "", Kind::Cab),
];

/// What files of trips have since they are no longer published as CSV; its event's last but `cab_type`.
const SINCE_PARQUET: [(&str, &str, Kind); 1] = [("request_source", "request_source", Kind::Text)];

/// Members of a for-hire trip, with the column they come from.
const FOR_HIRE: [(&str, &str, Kind); 9] = [
    ("dispatching_base_num", "dispatching_base_num", Kind::Text),
    ("pickup_datetime", "pickup_datetime", Kind::Time),
    ("dropoff_datetime", "dropoff_datetime", Kind::Time),
    ("pickup_location_id", "pulocationid", Kind::Integer),
    ("dropoff_location_id", "dolocationid", Kind::Integer),
    ("sr_flag", "sr_flag", Kind::Integer),
    ("affiliated_base_number", "affiliated_base_number", Kind::Text),
    ("trip_id", "", Kind::Identity),
    ("cab_type", "", Kind::Cab),
];

/// Whether a file is Parquet, by its first bytes.
pub(crate) fn is_parquet(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// Reads the rows of a file.
pub(crate) struct ParquetTrips {
    rows: ParquetRecordBatchReader,
    cab: &'static str,
    /// Members with their places among the columns that are read.
    members: Vec<(&'static str, usize, Kind)>,
    batch: Vec<Cells>,
    /// Rows in the batch, and how many of them were handed out.
    length: usize,
    next: usize,
    /// Rows handed out, of all batches.
    done: u64,
    total: u64,
    progress: Progress,
    /// The first row's event, which was needed for the epoch.
    first: Option<NumberedRecord>,
}

impl ParquetTrips {
    /// The rows, the fingerprint of the first event (empty if there is none), and how far they are read.
    pub(crate) fn open(path: &Path) -> Result<(Self, String, Progress), ParquetError> {
        let file = File::open(path)?;
        let progress = Progress::of(file.metadata()?.len());
        // Its own schema, and not what the writer's Arrow types were: fewer types to expect.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
        let fields = builder.schema().fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().to_ascii_lowercase()).collect();
        let (cab, wanted) = wanted(&names)?;
        let mut roots = Vec::new();
        for (_, column, _) in &wanted {
            if let Some(index) = column {
                let field = fields.get(*index);
                if let Some(field) = field.filter(|field| !is_known(field.data_type())) {
                    let found = field.data_type().to_string();
                    return Err(ParquetError::Type { column: field.name().clone(), found });
                }
                roots.push(*index);
            }
        }
        // Columns are read in the file's order.
        roots.sort_unstable();
        let place = |index| roots.iter().position(|root| *root == index).unwrap_or_default();
        let members =
            wanted.into_iter().map(|(member, index, kind)| (member, index.map_or(0, place), kind)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.clone());
        let rows = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
        let mut trips = Self {
            rows,
            cab,
            members,
            batch: Vec::new(),
            length: 0,
            next: 0,
            done: 0,
            total,
            progress: progress.clone(),
            first: None,
        };
        trips.first = trips.next_record()?;
        let epoch = trips.first.as_ref().map(|first| format!("{:016x}", xxh3_64(&first.data)));
        Ok((trips, epoch.unwrap_or_default(), progress))
    }

    /// Number of the row that is handed out next.
    pub(crate) fn next_number(&self) -> u64 {
        self.done + u64::from(self.first.is_none())
    }

    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let record = match self.first.take() {
            Some(first) => Some(first),
            None => self.next_record()?,
        };
        Ok(record.map(Entry::Record))
    }

    fn next_record(&mut self) -> io::Result<Option<NumberedRecord>> {
        while self.next >= self.length {
            match self.rows.next() {
                Some(batch) => self.load(&batch.map_err(io::Error::other)?),
                None => {
                    self.progress.reached(self.progress.bytes_total());
                    return Ok(None);
                }
            }
        }
        let row = self.next;
        self.next += 1;
        self.done += 1;
        let (trip_id, data) = self.event(row);
        Ok(Some(NumberedRecord { position: self.done, partition_key: trip_id.to_string(), data }))
    }

    fn load(&mut self, batch: &RecordBatch) {
        self.batch = batch.columns().iter().map(Cells::of).collect();
        (self.length, self.next) = (batch.num_rows(), 0);
        let share = u128::from(self.done + self.length as u64) * u128::from(self.progress.bytes_total());
        let reached = u64::try_from(share / u128::from(self.total.max(1)));
        self.progress.reached(reached.unwrap_or(u64::MAX));
    }

    /// A row as an event, and its trip id.
    fn event(&self, row: usize) -> (u64, Vec<u8>) {
        let mut text = Vec::with_capacity(640);
        text.push(b'{');
        let mut identity = 0;
        for (member, column, kind) in &self.members {
            match kind {
                Kind::Identity => identity = text.len(),
                Kind::Cab => {}
                _ => {
                    if let Some(cells) = self.batch.get(*column) {
                        cells.push(&mut text, member, *kind, row);
                    }
                }
            }
        }
        let mut hashed = Vec::with_capacity(self.cab.len() + 9 + text.len());
        hashed.extend_from_slice(self.cab.as_bytes());
        hashed.push(0);
        hashed.extend_from_slice(&self.done.to_le_bytes());
        hashed.extend_from_slice(&text);
        let trip_id = (xxh3_64(&hashed) >> 1).max(1);
        let mut after = text.split_off(identity);
        tlc::push_member(&mut text, "trip_id");
        text.extend_from_slice(trip_id.to_string().as_bytes());
        text.extend_from_slice(br#","type":"trip""#);
        text.append(&mut after);
        tlc::push_member(&mut text, "cab_type");
        text.push(b'"');
        text.extend_from_slice(self.cab.as_bytes());
        text.extend_from_slice(b"\"}");
        (trip_id, text)
    }
}

type Wanted = Vec<(&'static str, Option<usize>, Kind)>;

/// Whose trips these columns are, and which of them become members.
fn wanted(names: &[String]) -> Result<(&'static str, Wanted), HeaderError> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if ["pickup_longitude", "start_lon"].into_iter().any(has) && !has("pulocationid") {
        return Err(HeaderError::Coordinates);
    }
    let (cab, initial, table): (_, _, &[_]) = if has("tpep_pickup_datetime") {
        ("yellow", "t", &tlc::MEMBERS)
    } else if has("lpep_pickup_datetime") {
        ("green", "l", &tlc::MEMBERS)
    } else if has("hvfhs_license_num") {
        ("fhvhv", "", &HIGH_VOLUME)
    } else if has("dispatching_base_num") {
        ("fhv", "", &FOR_HIRE)
    } else {
        return Err(HeaderError::NotTrips);
    };
    let mut members = Vec::with_capacity(table.len());
    for (member, column, kind) in table.iter().chain(&SINCE_PARQUET) {
        if matches!(kind, Kind::Identity | Kind::Cab) {
            members.push((*member, None, *kind));
            continue;
        }
        let column = column.replace('?', initial);
        let mut found = names.iter().enumerate().filter(|(_, name)| **name == column);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => return Err(HeaderError::Twice(column)),
            (Some((index, _)), None) => members.push((*member, Some(index), *kind)),
            (None, _) if matches!(*member, "pickup_datetime" | "dropoff_datetime" | "pickup_location_id") => {
                return Err(HeaderError::Missing(column));
            }
            (None, _) => {}
        }
    }
    Ok((cab, members))
}

/// Whether a column of this type can be read.
fn is_known(found: &DataType) -> bool {
    found.is_integer()
        || matches!(
            found,
            DataType::Null
                | DataType::Boolean
                | DataType::Float32
                | DataType::Float64
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Timestamp(..)
        )
}

/// A column of a batch.
enum Cells {
    Nothing,
    Integers(ArrayRef, fn(&ArrayRef, usize) -> i128),
    Floats(ArrayRef, fn(&ArrayRef, usize) -> f64),
    Texts(ArrayRef, fn(&ArrayRef, usize) -> &str),
    /// Milliseconds since 1970.
    Times(ArrayRef, fn(&ArrayRef, usize) -> i64),
}

impl Cells {
    fn of(column: &ArrayRef) -> Self {
        macro_rules! number {
            ($into:ident, $kind:ty) => {
                Self::$into(column.clone(), |column, row| column.as_primitive::<$kind>().value(row).into())
            };
        }
        macro_rules! time {
            ($kind:ty, $to_ms:expr) => {
                Self::Times(column.clone(), |column, row| {
                    let to_ms: fn(i64) -> i64 = $to_ms;
                    to_ms(column.as_primitive::<$kind>().value(row))
                })
            };
        }
        match column.data_type() {
            DataType::Int8 => number!(Integers, Int8Type),
            DataType::Int16 => number!(Integers, Int16Type),
            DataType::Int32 => number!(Integers, Int32Type),
            DataType::Int64 => number!(Integers, Int64Type),
            DataType::UInt8 => number!(Integers, UInt8Type),
            DataType::UInt16 => number!(Integers, UInt16Type),
            DataType::UInt32 => number!(Integers, UInt32Type),
            DataType::UInt64 => number!(Integers, UInt64Type),
            DataType::Boolean => {
                Self::Integers(column.clone(), |column, row| i128::from(column.as_boolean().value(row)))
            }
            DataType::Float32 => number!(Floats, Float32Type),
            DataType::Float64 => number!(Floats, Float64Type),
            DataType::Utf8 => Self::Texts(column.clone(), |column, row| column.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => {
                Self::Texts(column.clone(), |column, row| column.as_string::<i64>().value(row))
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                time!(TimestampSecondType, |seconds| seconds.saturating_mul(1_000))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => time!(TimestampMillisecondType, |ms| ms),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                time!(TimestampMicrosecondType, |us| us.div_euclid(1_000))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                time!(TimestampNanosecondType, |ns| ns.div_euclid(1_000_000))
            }
            // No other passes `is_known`.
            _ => Self::Nothing,
        }
    }

    /// Adds a cell as a member, unless it is null.
    fn push(&self, event: &mut Vec<u8>, member: &str, kind: Kind, row: usize) {
        let is_null = match self {
            Self::Nothing => true,
            Self::Integers(column, _)
            | Self::Floats(column, _)
            | Self::Texts(column, _)
            | Self::Times(column, _) => row >= column.len() || column.is_null(row),
        };
        if is_null {
            return;
        }
        match self {
            Self::Nothing => {}
            Self::Integers(column, value) => {
                tlc::push_member(event, member);
                event.extend_from_slice(value(column, row).to_string().as_bytes());
            }
            Self::Floats(column, value) => {
                tlc::push_member(event, member);
                push_float(event, kind, value(column, row));
            }
            Self::Texts(column, value) => {
                let text = value(column, row).trim();
                // An empty field of CSV is no value either.
                if !text.is_empty() {
                    tlc::push_member(event, member);
                    tlc::push_value(event, kind, text);
                }
            }
            Self::Times(column, value) => {
                tlc::push_member(event, member);
                let ms = value(column, row);
                let text =
                    if time::in_range(ms) { format!("\"{}\"", time::rfc3339(ms)) } else { ms.to_string() };
                event.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn push_float(event: &mut Vec<u8>, kind: Kind, value: f64) {
    if !value.is_finite() {
        event.extend_from_slice(format!("\"{value}\"").as_bytes());
    } else if matches!(kind, Kind::Integer) && value.fract() == 0.0 && value.abs() <= EXACT {
        event.extend_from_slice(format!("{value:.0}").as_bytes());
    } else {
        // A finite number is always written, and a Vec takes all.
        let _ = serde_json::to_writer(event, &value);
    }
}

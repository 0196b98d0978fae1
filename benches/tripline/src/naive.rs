//! A Lambda function as it is written with the crates that come to hand first: every event into Parquet of its
//! own, every document serialized anew. What Tripline's ratios are against.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use aws_lambda_events::event::kinesis::KinesisEvent;
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::cluster::gzip;

#[derive(Debug, Deserialize, Serialize)]
struct Trip {
    vendor_id: i32,
    pickup_datetime: String,
    dropoff_datetime: String,
    passenger_count: i32,
    trip_distance: f64,
    ratecode_id: i32,
    store_and_fwd_flag: String,
    pickup_location_id: i32,
    dropoff_location_id: i32,
    payment_type: i32,
    fare_amount: f64,
    extra: f64,
    mta_tax: f64,
    tip_amount: f64,
    tolls_amount: f64,
    improvement_surcharge: f64,
    total_amount: f64,
    trip_id: i64,
    r#type: String,
    #[serde(default)]
    pickup_borough: String,
}

/// The function.
#[derive(Debug)]
pub struct Naive {
    boroughs: HashMap<i32, String>,
    schema: SchemaRef,
    gzip: bool,
}

impl Naive {
    /// The function, with the zones of a CSV file. With `gzip`, bulk bodies are compressed.
    ///
    /// # Errors
    /// When the zones cannot be read.
    pub fn new(gzip: bool) -> anyhow::Result<Self> {
        let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline/taxi_zone_lookup.csv");
        let mut boroughs = HashMap::new();
        for row in csv::Reader::from_path(zones)?.deserialize::<(i32, String, String, String)>() {
            let (zone, borough, ..) = row?;
            boroughs.insert(zone, if borough == "N/A" { "Unknown".to_owned() } else { borough });
        }
        Ok(Self { boroughs, schema: schema(), gzip })
    }

    /// Handles one event: a Parquet file for each folder, which `keep` is given, and a bulk body, which is returned.
    ///
    /// # Errors
    /// When anything at all goes wrong.
    pub fn handle(
        &self,
        event: &[u8],
        mut keep: impl FnMut(&Path, Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<u8>> {
        let event: KinesisEvent = serde_json::from_slice(event)?;
        let mut body = Vec::new();
        let mut partitions: BTreeMap<PathBuf, Vec<Trip>> = BTreeMap::new();
        for record in event.records {
            let mut trip: Trip = serde_json::from_slice(&record.kinesis.data)?;
            let borough = self.boroughs.get(&trip.pickup_location_id).map_or("Unknown", String::as_str);
            borough.clone_into(&mut trip.pickup_borough);
            let time: DateTime<Utc> = trip.pickup_datetime.parse()?;
            let action = serde_json::json!({
                "index": { "_index": format!("trips-{}", time.year()), "_id": trip.trip_id.to_string() }
            });
            serde_json::to_writer(&mut body, &action)?;
            body.push(b'\n');
            serde_json::to_writer(&mut body, &trip)?;
            body.push(b'\n');
            let folder = format!(
                "borough={borough}/year={}/month={:02}/day={:02}/hour={:02}",
                time.year(),
                time.month(),
                time.day(),
                time.hour()
            );
            partitions.entry(folder.into()).or_default().push(trip);
        }
        for (folder, trips) in partitions {
            keep(&folder, self.parquet(&trips)?)?;
        }
        Ok(if self.gzip { gzip(&body) } else { body })
    }

    fn parquet(&self, trips: &[Trip]) -> anyhow::Result<Vec<u8>> {
        let mut decoder =
            ReaderBuilder::new(Arc::clone(&self.schema)).with_batch_size(trips.len()).build_decoder()?;
        decoder.serialize(trips)?;
        let rows = decoder.flush()?.context("there are no rows")?;
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&self.schema), Some(properties))?;
        writer.write(&rows)?;
        Ok(writer.into_inner()?)
    }
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let (float, text) = (DataType::Float64, DataType::Utf8);
    let fields = [
        ("vendor_id", DataType::Int32),
        ("pickup_datetime", time.clone()),
        ("dropoff_datetime", time),
        ("passenger_count", DataType::Int32),
        ("trip_distance", float.clone()),
        ("ratecode_id", DataType::Int32),
        ("store_and_fwd_flag", text.clone()),
        ("pickup_location_id", DataType::Int32),
        ("dropoff_location_id", DataType::Int32),
        ("payment_type", DataType::Int32),
        ("fare_amount", float.clone()),
        ("extra", float.clone()),
        ("mta_tax", float.clone()),
        ("tip_amount", float.clone()),
        ("tolls_amount", float.clone()),
        ("improvement_surcharge", float.clone()),
        ("total_amount", float),
        ("trip_id", DataType::Int64),
        ("type", text.clone()),
        ("pickup_borough", text),
    ];
    Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
}

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::HashMap;

use arrow_array::types::Int64Type;
use arrow_array::{
    BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{Field, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, PageType};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use tripline_model::batch::metadata;

use super::*;

const LABEL: Label<'static> = Label { pipeline: "p", generation: 7, rows: 0, digest: 9, sources: &[] };

fn schema() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", time.clone(), false),
        Field::new("until", time, true),
        Field::new("count", DataType::Int32, true),
        Field::new("fare", DataType::Float64, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("borough", DataType::Utf8, false),
        Field::new("raw", DataType::Binary, true),
    ];
    let pairs = [(metadata::TABLE, "t"), (metadata::TIME_COLUMN, "at"), (metadata::ID_COLUMNS, "id")];
    let pairs: HashMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Arc::new(Schema::new_with_metadata(fields, pairs))
}

type Row = (i64, Option<i32>, Option<f64>, Option<bool>, Option<String>, u8, Option<Vec<u8>>);

fn batch(rows: &[Row]) -> RecordBatch {
    let boroughs = ["Manhattan", "Queens", "", "Österreich"];
    let times: Vec<i64> = rows.iter().map(|row| row.0 / 1000).collect();
    let some: Vec<Option<i64>> = rows.iter().map(|row| row.1.map(i64::from)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")),
        Arc::new(TimestampMillisecondArray::from(some).with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.4.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(boroughs[usize::from(row.5) % 4])).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.6.as_deref()).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![any::<f64>(), (0..9_000_i32).prop_map(|cents| f64::from(cents) / 100.0)];
    let text = prop_oneof![4 => "[a-c]", 1 => "\\PC{0,40}"];
    let bytes = prop::collection::vec(any::<u8>(), 0..9);
    let mostly = |some| prop::option::weighted(0.7, some);
    (
        any::<i64>(),
        mostly((-5..5).boxed()),
        prop::option::weighted(0.7, float),
        prop::option::of(any::<bool>()),
        prop::option::weighted(0.7, text),
        any::<u8>(),
        prop::option::of(bytes),
    )
}

fn read(file: Vec<u8>) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    reader.with_batch_size(usize::MAX >> 1).build().unwrap().map(Result::unwrap).collect()
}

/// What the library's own way from Arrow to Parquet makes of the same rows.
fn by_the_library(batches: &[RecordBatch]) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
    let plain = Arc::new(Schema::new(schema().fields().clone()));
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&plain), options).unwrap();
    for batch in batches {
        writer.write(&RecordBatch::try_new(Arc::clone(&plain), batch.columns().to_vec()).unwrap()).unwrap();
    }
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_reads_as_one_of_the_library_s_own_writer(
        rows in prop::collection::vec(row(), 1..60), cut in any::<prop::sample::Index>(),
    ) {
        let whole = batch(&rows);
        // Parts of a batch share its memory.
        let cut = cut.index(rows.len());
        let parts = [whole.slice(0, cut), whole.slice(cut, rows.len() - cut)];
        let file = encode(FileFormat::Parquet, &schema(), &parts, &LABEL).unwrap();
        let expected = by_the_library(&parts);
        prop_assert_eq!(read(file.clone()), read(expected.clone()));
        let statistics = |file: Vec<u8>| {
            let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
            let columns = reader.metadata().row_group(0).columns().to_vec();
            columns.into_iter().map(|column| column.statistics().cloned()).collect::<Vec<_>>()
        };
        prop_assert_eq!(statistics(file), statistics(expected));
    }
}

#[test]
fn pages_are_compressed_and_as_long_as_a_reader_may_skip() {
    let rows: Vec<Row> =
        (0..50_000).map(|id| (id * 1000, None, Some(1.5), None, Some("same".to_owned()), 0, None)).collect();
    let file = encode(FileFormat::Parquet, &schema(), &[batch(&rows)], &LABEL).unwrap();
    let reader = SerializedFileReader::new(Bytes::from(file.clone())).unwrap();
    let group = reader.metadata().row_group(0);
    for (index, column) in group.columns().iter().enumerate() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)), "{column:?}");
        let pages = reader.get_row_group(0).unwrap().get_column_page_reader(index).unwrap();
        let data = pages.map(Result::unwrap).filter(|page| page.page_type() == PageType::DATA_PAGE);
        // The library looks at the bound every 1,024 rows.
        assert_eq!(data.map(|page| page.num_values()).collect::<Vec<_>>(), [20_480, 20_480, 9_040]);
    }
    let id = group.column(0);
    assert!(id.compressed_size() * 5 < id.uncompressed_size(), "{id:?}");
    assert!(file.len() < 30_000, "{}", file.len());
    assert_eq!(read(file).iter().map(RecordBatch::num_rows).sum::<usize>(), rows.len());
}

#[test]
fn a_row_group_ends_within_a_batch_or_between_two_and_no_row_is_lost() {
    let rows: Vec<Row> = (0..10).map(|id| (id, None, None, None, None, 0, None)).collect();
    let batches = [batch(&rows[..4]), batch(&rows[4..5]), batch(&rows[5..])];
    let groups = parquet_file::row_groups(&batches, 4);
    let ids = |group: &Vec<RecordBatch>| {
        let columns = group.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec());
        columns.collect::<Vec<_>>().concat()
    };
    assert_eq!(groups.iter().map(ids).collect::<Vec<_>>(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
}

#[test]
fn a_null_where_there_may_be_none_is_an_error_and_no_file() {
    let field = Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true);
    let array = TimestampMillisecondArray::from(vec![None]).with_timezone("UTC");
    let nullable = Arc::new(Schema::new(vec![field.clone()]));
    let rows = RecordBatch::try_new(nullable, vec![Arc::new(array)]).unwrap();
    let pairs = HashMap::from([(metadata::TIME_COLUMN.to_owned(), "at".to_owned())]);
    let required = Schema::new_with_metadata(vec![field.with_nullable(false)], pairs);
    let error = encode(FileFormat::Parquet, &Arc::new(required), &[rows], &LABEL).unwrap_err();
    assert!(error.to_string().contains("null"), "{error}");
}

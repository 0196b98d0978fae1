//! A digest of rows that does not depend on their order.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64;

use crate::batch::metadata;

/// Why there is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The schema does not carry the metadata of a table.
    #[error("the schema's metadata has no `{0}`: it is not a table of this pipeline")]
    NoMetadata(&'static str),
    /// A column that identifies rows is not there.
    #[error("there is no column `{0}`, which the schema's metadata names")]
    NoColumn(String),
    /// A column of a type that identifies no rows.
    #[error("column `{column}` is of type {kind}, of which no digest is made")]
    WrongType {
        /// Its name.
        column: String,
        /// Its type.
        kind: DataType,
    },
}

/// Digests the identity of a table's rows: the wrapping sum, over the rows, of the XXH3 hash of the row's
/// id columns and time column, as the schema's metadata names them (see [`metadata`]).
///
/// The order of rows does not count, nor how they are spread over batches: the digest of a whole is the
/// wrapping sum of those of its parts. Nor does it count how a column is held: a text is the same in
/// `Utf8`, `LargeUtf8`, `Utf8View` or a dictionary, an integer in any width and a time in any unit.
///
/// A row's bytes are, for each id column and then the time column: 0 for null; 1 and a byte for a
/// boolean; 2 and the value (8 bytes, little endian) for an integer; 3 and its bits for a float; 4, the
/// length (8 bytes, little endian) and the bytes for text or binary; 5 and milliseconds since 1970 UTC,
/// rounded down (8 bytes, little endian), for a time.
///
/// # Errors
/// [`DigestError`] if the metadata or a column that it names is not there or of an unfit type.
pub fn digest(batch: &RecordBatch) -> Result<u64, DigestError> {
    let schema = batch.schema_ref();
    let named = |key| schema.metadata().get(key).ok_or(DigestError::NoMetadata(key));
    let ids = named(metadata::ID_COLUMNS)?.split(',').filter(|name| !name.is_empty());
    let columns = ids
        .chain([named(metadata::TIME_COLUMN)?.as_str()])
        .map(|name| {
            let column = batch.column_by_name(name).ok_or_else(|| DigestError::NoColumn(name.to_owned()))?;
            let unfit =
                || DigestError::WrongType { column: name.to_owned(), kind: column.data_type().clone() };
            writer(column.as_ref()).ok_or_else(unfit)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut bytes = Vec::with_capacity(64);
    let mut sum = 0_u64;
    for row in 0..batch.num_rows() {
        bytes.clear();
        columns.iter().for_each(|write| write(row, &mut bytes));
        sum = sum.wrapping_add(xxh3_64(&bytes));
    }
    Ok(sum)
}

/// Appends a row's value to its bytes.
type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

fn writer(array: &dyn Array) -> Option<Writer<'_>> {
    let write: Writer<'_> = match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(|row, bytes| bytes.extend([1, u8::from(array.value(row))]))
        }
        DataType::Int8 => integers(array.as_primitive::<Int8Type>()),
        DataType::Int16 => integers(array.as_primitive::<Int16Type>()),
        DataType::Int32 => integers(array.as_primitive::<Int32Type>()),
        DataType::Int64 => integers(array.as_primitive::<Int64Type>()),
        DataType::UInt8 => integers(array.as_primitive::<UInt8Type>()),
        DataType::UInt16 => integers(array.as_primitive::<UInt16Type>()),
        DataType::UInt32 => integers(array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => {
            let array = array.as_primitive::<UInt64Type>();
            Box::new(|row, bytes| fixed(2, array.value(row).to_le_bytes(), bytes))
        }
        DataType::Float64 => {
            let array = array.as_primitive::<arrow_array::types::Float64Type>();
            Box::new(|row, bytes| fixed(3, array.value(row).to_bits().to_le_bytes(), bytes))
        }
        DataType::Utf8 => strings(array.as_string::<i32>(), |array, row| array.value(row).as_bytes()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>(), |array, row| array.value(row).as_bytes()),
        DataType::Utf8View => strings(array.as_string_view(), |array, row| array.value(row).as_bytes()),
        DataType::Binary => strings(array.as_binary::<i32>(), |array, row| array.value(row)),
        DataType::LargeBinary => strings(array.as_binary::<i64>(), |array, row| array.value(row)),
        DataType::BinaryView => strings(array.as_binary_view(), |array, row| array.value(row)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            times(array.as_primitive::<TimestampSecondType>(), |time| time.saturating_mul(1000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            times(array.as_primitive::<TimestampMillisecondType>(), |time| time)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            times(array.as_primitive::<TimestampMicrosecondType>(), |time| time.div_euclid(1000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            times(array.as_primitive::<TimestampNanosecondType>(), |time| time.div_euclid(1_000_000))
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let keys = dictionary.normalized_keys();
            let write = writer(dictionary.values().as_ref())?;
            Box::new(move |row, bytes| match keys.get(row) {
                Some(&key) => write(key, bytes),
                None => bytes.push(0),
            })
        }
        _ => return None,
    };
    if array.null_count() == 0 {
        return Some(write);
    }
    Some(Box::new(move |row, bytes| if array.is_null(row) { bytes.push(0) } else { write(row, bytes) }))
}

fn fixed(tag: u8, value: [u8; 8], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    bytes.extend(value);
}

fn integers<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Writer<'_>
where
    T::Native: Into<i64>,
{
    Box::new(|row, bytes| fixed(2, array.value(row).into().to_le_bytes(), bytes))
}

fn times<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &'a PrimitiveArray<T>,
    ms: fn(i64) -> i64,
) -> Writer<'a> {
    Box::new(move |row, bytes| fixed(5, ms(array.value(row)).to_le_bytes(), bytes))
}

fn strings<'a, A>(array: &'a A, value: fn(&'a A, usize) -> &'a [u8]) -> Writer<'a> {
    Box::new(move |row, bytes| {
        let value = value(array, row);
        fixed(4, (value.len() as u64).to_le_bytes(), bytes);
        bytes.extend_from_slice(value);
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, DictionaryArray, Int32Array, Int64Array, LargeStringArray, StringArray, StringViewArray,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    };
    use arrow_schema::{Field, Schema};

    use super::*;

    fn batch(ids: &str, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<_> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let metadata = [(metadata::ID_COLUMNS, ids), (metadata::TIME_COLUMN, "time")];
        let metadata =
            std::collections::HashMap::from(metadata.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
    }

    fn time(ms: Vec<i64>) -> (&'static str, ArrayRef) {
        ("time", Arc::new(TimestampMillisecondArray::from(ms).with_timezone("UTC")))
    }

    #[test]
    fn a_text_counts_the_same_however_it_is_held() {
        let texts = vec![Some("a"), None, Some("é"), Some("a"), Some("")];
        let dictionary: DictionaryArray<arrow_array::types::Int8Type> = texts.iter().copied().collect();
        let arrays: [ArrayRef; 4] = [
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(LargeStringArray::from(texts.clone())),
            Arc::new(StringViewArray::from(texts)),
            Arc::new(dictionary),
        ];
        let digests =
            arrays.map(|array| digest(&batch("id", vec![("id", array), time(vec![1, 2, 3, 4, 5])])).unwrap());
        assert!(digests.iter().all(|other| *other == digests[0]), "{digests:?}");
    }

    #[test]
    fn the_unit_of_time_the_width_of_integers_the_order_and_other_columns_do_not_count() {
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(7)]));
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1_000, 5_999]));
        let left = batch("id", vec![("id", ids), time(vec![5, -1])]);
        let right = batch("id", vec![("time", micros), ("more", wide.clone()), ("id", wide)]);
        assert_eq!(digest(&left), digest(&right));
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let whole = batch("id", vec![("id", Arc::new(Int32Array::from(vec![1, 2, 3]))), time(vec![4, 5, 6])]);
        let parts = digest(&whole.slice(0, 1)).unwrap().wrapping_add(digest(&whole.slice(1, 2)).unwrap());
        assert_eq!(digest(&whole).unwrap(), parts);
        assert_eq!(digest(&whole.slice(0, 0)), Ok(0));
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let pair = |left: &str, right: &str| {
            let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
            digest(&batch("a,b", vec![("a", text(left)), ("b", text(right)), time(vec![0])])).unwrap()
        };
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        assert_ne!(pair("", "a"), pair("a", ""));
        let id =
            |id: Option<i32>| batch("id", vec![("id", Arc::new(Int32Array::from(vec![id]))), time(vec![0])]);
        assert_ne!(digest(&id(None)), digest(&id(Some(0))));
    }

    #[test]
    fn what_is_missing_is_named() {
        let rows = batch("id", vec![time(vec![1])]);
        assert_eq!(digest(&rows), Err(DigestError::NoColumn("id".to_owned())));
        assert!(digest(&batch("", vec![time(vec![1])])).is_ok());
        let bare = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert_eq!(digest(&bare), Err(DigestError::NoMetadata(metadata::ID_COLUMNS)));
    }
}

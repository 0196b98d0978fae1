//! A section of an entry: one table's rows in Arrow's own format, compressed.

use std::io::Cursor;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use tripline_model::batch::{LakePartition, Section, metadata};

use super::entry::{EntryError, PartitionRows, SectionHeader};

/// Level 1: the journal is read once or twice, the write is on the path of every batch.
const ZSTD_LEVEL: i32 = 1;

/// Compresses a section.
pub(super) fn pack(section: &Section) -> Result<(Vec<u8>, SectionHeader), EntryError> {
    let table = section.table.to_string();
    let columns = |source| EntryError::Columns { table: table.clone(), source };
    let mut counts = vec![0_u64; section.partitions.len()];
    let mut raw = Vec::with_capacity(section.rows.get_array_memory_size() + 2 * section.partition_of.len());
    for &index in &section.partition_of {
        raw.extend_from_slice(&index.to_le_bytes());
        if let Some(count) = counts.get_mut(usize::from(index)) {
            *count += 1;
        }
    }
    let mut writer = StreamWriter::try_new(raw, &section.rows.schema()).map_err(columns)?;
    writer.write(&section.rows).map_err(columns)?;
    let raw = writer.into_inner().map_err(columns)?;
    let frame = zstd::bulk::compress(&raw, ZSTD_LEVEL)
        .map_err(|source| EntryError::Compression { table: table.clone(), source })?;
    let partitions = section
        .partitions
        .iter()
        .zip(counts)
        .map(|(partition, rows)| PartitionRows { path: partition.path.clone(), rows })
        .collect();
    let header = SectionHeader {
        rows: section.rows.num_rows() as u64,
        digest: section.digest,
        length: frame.len() as u64,
        raw_length: raw.len() as u64,
        partitions,
        table,
    };
    Ok((frame, header))
}

/// Unpacks a section and checks that it holds what its header says.
pub(super) fn unpack(header: &SectionHeader, frame: &[u8]) -> Result<Section, EntryError> {
    let mismatch = |says: String, found: String| EntryError::Mismatch { says, found };
    let capacity = usize::try_from(header.raw_length).unwrap_or(usize::MAX);
    let raw = zstd::bulk::decompress(frame, capacity)
        .map_err(|source| EntryError::Compression { table: header.table.clone(), source })?;
    let index_bytes = usize::try_from(header.rows.saturating_mul(2)).unwrap_or(usize::MAX);
    let (indices, stream) = raw
        .split_at_checked(index_bytes)
        .ok_or(EntryError::NotAnEntry("a section has fewer rows than it says"))?;
    let rows =
        read_columns(stream).map_err(|source| EntryError::Columns { table: header.table.clone(), source })?;
    if rows.num_rows() as u64 != header.rows {
        return Err(mismatch(format!("{} rows", header.rows), format!("{}", rows.num_rows())));
    }
    if rows.schema_ref().metadata().get(metadata::TABLE) != Some(&header.table) {
        return Err(mismatch(format!("table {}", header.table), "columns of another".to_owned()));
    }
    let partition_of: Vec<u16> =
        indices.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let mut counts = vec![0_u64; header.partitions.len()];
    for &index in &partition_of {
        match counts.get_mut(usize::from(index)) {
            Some(count) => *count += 1,
            None => {
                return Err(EntryError::NotAnEntry("a row is in a partition that the header does not list"));
            }
        }
    }
    let listed: Vec<u64> = header.partitions.iter().map(|partition| partition.rows).collect();
    if counts != listed {
        return Err(mismatch(format!("{listed:?} rows by partition"), format!("{counts:?}")));
    }
    Ok(Section {
        table: Arc::from(header.table.as_str()),
        rows,
        partitions: header
            .partitions
            .iter()
            .map(|listed| LakePartition { path: listed.path.clone() })
            .collect(),
        partition_of,
        digest: header.digest,
    })
}

/// Reads columns that may be damaged. Arrow's reader checks most of what they say and panics at some of the
/// rest; it holds nothing that such a panic could leave half done.
fn read_columns(stream: &[u8]) -> Result<RecordBatch, ArrowError> {
    catch_unwind(|| read_stream(stream))
        .unwrap_or_else(|_| Err(ArrowError::IpcError("its columns contradict each other".to_owned())))
}

fn read_stream(stream: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut reader = StreamReader::try_new(Cursor::new(stream), None)?;
    let schema = reader.schema();
    let first = reader.next().transpose()?;
    if reader.next().is_some() {
        return Err(ArrowError::IpcError("more than one batch in a section".to_owned()));
    }
    Ok(first.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

//! Pages of a column chunk, compressed on their way.
//!
//! The library's own writer makes a compressor and a decompressor anew for each column of each row group. zstd
//! asks the processor for its features each time, which a virtual machine answers through its host: that was
//! a sixth of a file's cost. Here one compressor serves a whole file.

use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

/// The pages of one column chunk after another.
pub(super) struct Pages {
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    chunk: TrackedWrite<Vec<u8>>,
}

impl Pages {
    /// # Errors
    /// When zstd has no memory.
    pub(super) fn new() -> std::io::Result<Self> {
        let compressor = Compressor::new(level().compression_level())?;
        Ok(Self { compressor, compressed: Vec::new(), chunk: TrackedWrite::new(Vec::new()) })
    }

    /// How the pages are compressed.
    pub(super) fn compression() -> Compression {
        Compression::ZSTD(level())
    }

    /// The bytes of the chunk that is whole; a new one begins.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.chunk, TrackedWrite::new(Vec::new())).into_inner().unwrap_or_default()
    }

    fn compress(&mut self, plain: &[u8]) -> Result<Bytes> {
        self.compressed.clear();
        self.compressed.reserve(compress_bound(plain.len()));
        self.compressor
            .compress_to_buffer(plain, &mut self.compressed)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(Bytes::copy_from_slice(&self.compressed))
    }
}

/// The fastest: files are read more often than they are written, but hardly smaller by the next ones.
fn level() -> ZstdLevel {
    ZstdLevel::default()
}

impl PageWriter for &mut Pages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let compressed = match page.compressed_page() {
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => Page::DataPage {
                buf: self.compress(buf)?,
                num_values: *num_values,
                encoding: *encoding,
                def_level_encoding: *def_level_encoding,
                rep_level_encoding: *rep_level_encoding,
                statistics: statistics.clone(),
            },
            Page::DictionaryPage { buf, num_values, encoding, is_sorted } => Page::DictionaryPage {
                buf: self.compress(buf)?,
                num_values: *num_values,
                encoding: *encoding,
                is_sorted: *is_sorted,
            },
            // Each says itself whether it is compressed.
            page @ Page::DataPageV2 { .. } => page.clone(),
        };
        let page = CompressedPage::new(compressed, page.uncompressed_size());
        SerializedPageWriter::new(&mut self.chunk).write_page(page)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

//! Reading text files line by line: numbered, in bounded memory, decompressed where needed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;

/// The longest line that becomes a record, without its line ending: 10 MiB, the most that a Kinesis
/// record can hold.
pub const LONGEST_LINE_BYTES: usize = 10 * 1024 * 1024;

const BUFFER_BYTES: usize = 128 * 1024;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How far a file has been read, in bytes as they lie on disk (of the compressed file, then). A
/// clone counts on with the reader, for a progress bar in another thread.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    total: u64,
    read: Arc<AtomicU64>,
}

impl Progress {
    /// For a file of this many bytes, of which none has been read.
    pub(crate) fn of(total: u64) -> Self {
        Self { total, read: Arc::default() }
    }

    /// Says that this many of its bytes have been read.
    #[cfg(feature = "parquet")]
    pub(crate) fn reached(&self, bytes: u64) {
        self.read.store(bytes, Ordering::Relaxed);
    }

    /// Size of the file when it was opened; a file that grows may be read beyond it.
    #[must_use]
    pub const fn bytes_total(&self) -> u64 {
        self.total
    }

    /// Bytes read so far; ahead of the records handed out by up to a buffer.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// All frames of an LZ4 file: the decoder by itself says at the end of each that there is no more.
struct Lz4Frames<R: BufRead> {
    decoder: FrameDecoder<R>,
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.decoder.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
        }
    }
}

/// Counts what is read.
#[derive(Debug)]
struct Counted<R> {
    from: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// An open text file.
pub(crate) struct Text {
    pub(crate) reader: Box<dyn BufRead + Send>,
    pub(crate) progress: Progress,
    /// Gzip, Zstandard or LZ4, told by its first bytes and not by its name.
    pub(crate) compressed: bool,
}

/// Opens a file for reading as text; several gzip members, or frames of Zstandard or LZ4, after one another
/// are read as one text.
pub(crate) fn open(path: &Path) -> io::Result<Text> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    read(file, bytes)
}

/// As [`open`], from a reader of so many bytes.
pub(crate) fn read(from: impl Read + Send + 'static, bytes: u64) -> io::Result<Text> {
    let progress = Progress::of(bytes);
    let counted = Counted { from, read: Arc::clone(&progress.read) };
    let mut plain = BufReader::with_capacity(BUFFER_BYTES, counted);
    let start = plain.fill_buf()?;
    let (gzip, zstd) = (start.starts_with(GZIP_MAGIC), start.starts_with(ZSTD_MAGIC));
    let lz4 = start.starts_with(LZ4_MAGIC);
    let mut reader: Box<dyn BufRead + Send> = if gzip {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(plain)))
    } else if zstd {
        let decoder = zstd::stream::read::Decoder::with_buffer(plain)?;
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else if lz4 {
        let frames = Lz4Frames { decoder: FrameDecoder::new(plain) };
        Box::new(BufReader::with_capacity(BUFFER_BYTES, frames))
    } else {
        Box::new(plain)
    };
    let compressed = gzip || zstd || lz4;
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(Text { reader, progress, compressed })
}

/// One line of a file, without its line ending (LF or CRLF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line.
    Whole(Vec<u8>),
    /// The last one, which nothing ends yet: it may be half written.
    Open(Vec<u8>),
    /// Longer than the cap; skipped. Its length with the line ending, in bytes.
    Oversize(u64),
}

/// Numbers lines from 1; an empty line counts.
pub(crate) struct LineReader {
    reader: Box<dyn BufRead + Send>,
    number: u64,
    longest: usize,
    /// The end of the file is the end of its last line.
    whole: bool,
    /// Lines that were looked at and not yet used, in reverse.
    put_back: Vec<(u64, Line)>,
}

impl LineReader {
    pub(crate) fn new(reader: Box<dyn BufRead + Send>, whole: bool) -> Self {
        Self { reader, number: 0, longest: LONGEST_LINE_BYTES, whole, put_back: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn with_cap(reader: Box<dyn BufRead + Send>, longest: usize) -> Self {
        Self { longest, ..Self::new(reader, false) }
    }

    /// Number of the line that is read next.
    pub(crate) fn next_number(&self) -> u64 {
        self.put_back.last().map_or(self.number.saturating_add(1), |(number, _)| *number)
    }

    /// Hands a line that was just read back, to be read again.
    pub(crate) fn put_back(&mut self, number: u64, line: Line) {
        self.put_back.push((number, line));
    }

    pub(crate) fn next_line(&mut self) -> io::Result<Option<(u64, Line)>> {
        if let Some(line) = self.put_back.pop() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        let with_line_ending = self.longest as u64 + 2;
        let count = (&mut self.reader).take(with_line_ending).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let ended = strip_line_ending(&mut line);
        if line.len() > self.longest {
            let rest = if ended { 0 } else { self.reader.skip_until(b'\n')? };
            return Ok(Some((self.number, Line::Oversize(count as u64 + rest as u64))));
        }
        Ok(Some((self.number, if ended || self.whole { Line::Whole(line) } else { Line::Open(line) })))
    }
}

/// Cuts LF or CRLF off; says whether there was one.
fn strip_line_ending(line: &mut Vec<u8>) -> bool {
    if line.pop_if(|last| *last == b'\n').is_none() {
        return false;
    }
    line.pop_if(|last| *last == b'\r');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn lines(text: &[u8], cap: usize) -> io::Result<Vec<(u64, Line)>> {
        let mut reader = LineReader::with_cap(Box::new(Cursor::new(text.to_vec())), cap);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn lines_are_numbered_and_lose_their_endings() -> io::Result<()> {
        let expected = vec![
            (1, Line::Whole(b"a".to_vec())),
            (2, Line::Whole(Vec::new())),
            (3, Line::Whole(b"b\r".to_vec())),
            (4, Line::Open(b"c\r".to_vec())),
        ];
        assert_eq!(lines(b"a\r\n\nb\r\r\nc\r", 10)?, expected);
        assert_eq!(lines(b"", 10)?, vec![]);
        Ok(())
    }

    #[test]
    fn a_line_over_the_cap_is_skipped_with_its_length_and_the_next_one_is_read() -> io::Result<()> {
        let expected = vec![
            (1, Line::Whole(b"1234".to_vec())),
            (2, Line::Whole(b"1234".to_vec())),
            (3, Line::Oversize(6)),
            (4, Line::Oversize(7)),
            (5, Line::Oversize(21)),
            (6, Line::Whole(b"ok".to_vec())),
            (7, Line::Oversize(9)),
        ];
        assert_eq!(lines(b"1234\n1234\r\n12345\n12345\r\n12345678901234567890\nok\n123456789", 4)?, expected);
        Ok(())
    }
}

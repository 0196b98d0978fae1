//! JSON lines: one record a line, passed on byte by byte as it stands.
//!
//! The line's number, from 1, is the record's position. Lines of nothing but white space are no
//! records, but are counted, so that a position always finds its line (`sed -n '<position>p'`).
//! What a line holds is not looked at: a line that is no JSON becomes a dead letter further on.
//!
//! The last line of a file that may still grow needs care, for a position is delivered once and for
//! all. With a line ending it is whole. Without one it counts if it is a complete JSON object, as no
//! longer text that starts with one is JSON; anything else may be half written and is left for the
//! next run. A gzip file that ends properly is whole, its last line too.

use std::io;

use serde::de::IgnoredAny;

use super::text::{Line, LineReader};
use super::{Entry, NumberedRecord};

/// Reads JSON lines.
pub(crate) struct JsonLines {
    lines: LineReader,
    unfinished: Option<u64>,
}

impl JsonLines {
    pub(crate) const fn new(lines: LineReader) -> Self {
        Self { lines, unfinished: None }
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.lines.next_number()
    }

    /// Number of the last line, where that was left for the next run.
    pub(crate) const fn unfinished(&self) -> Option<u64> {
        self.unfinished
    }

    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        while let Some((number, line)) = self.lines.next_line()? {
            match line {
                Line::Oversize(bytes) => return Ok(Some(Entry::Oversize { position: number, bytes })),
                Line::Whole(data) | Line::Open(data) if data.trim_ascii().is_empty() => {}
                Line::Open(data) if !is_complete_object(&data) => self.unfinished = Some(number),
                Line::Whole(data) | Line::Open(data) => {
                    let partition_key = number.to_string();
                    return Ok(Some(Entry::Record(NumberedRecord { position: number, partition_key, data })));
                }
            }
        }
        Ok(None)
    }
}

/// Whether a text is one complete JSON object and nothing else.
pub(crate) fn is_complete_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    type Read = (Vec<(u64, String, String)>, Option<u64>);

    fn read(text: &str) -> io::Result<Read> {
        let reader = LineReader::with_cap(Box::new(Cursor::new(text.as_bytes().to_vec())), 20);
        let mut source = JsonLines::new(reader);
        let mut entries = Vec::new();
        while let Some(entry) = source.next_entry()? {
            entries.push(match entry {
                Entry::Record(record) => {
                    let data = String::from_utf8_lossy(&record.data).into_owned();
                    (record.position, record.partition_key, data)
                }
                Entry::Oversize { position, bytes } => (position, "oversize".to_owned(), bytes.to_string()),
            });
        }
        Ok((entries, source.unfinished()))
    }

    fn record(number: u64, data: &str) -> (u64, String, String) {
        (number, number.to_string(), data.to_owned())
    }

    #[test]
    fn every_line_is_a_record_at_its_number_and_empty_lines_only_count() -> io::Result<()> {
        let (records, unfinished) = read("{\"a\":1}\r\n\n  \t\nnot json\n")?;
        assert_eq!(records, vec![record(1, "{\"a\":1}"), record(4, "not json")]);
        assert_eq!(unfinished, None);
        Ok(())
    }

    #[test]
    fn a_last_line_without_its_end_counts_only_when_it_cannot_grow() -> io::Result<()> {
        assert_eq!(read("{}\n{\"a\":1}")?, (vec![record(1, "{}"), record(2, "{\"a\":1}")], None));
        for half in ["{\"a\":1", "12", "[1]", "{\"a\":1} {"] {
            assert_eq!(read(&format!("{{}}\n{half}"))?, (vec![record(1, "{}")], Some(2)), "{half}");
        }
        Ok(())
    }

    #[test]
    fn a_line_over_the_cap_is_reported_and_does_not_stop_the_file() -> io::Result<()> {
        let (records, _) = read("{}\n{\"a\":\"123456789012345\"}\n{}\n")?;
        assert_eq!(
            records,
            vec![record(1, "{}"), (2, "oversize".to_owned(), "24".to_owned()), record(3, "{}")]
        );
        Ok(())
    }
}

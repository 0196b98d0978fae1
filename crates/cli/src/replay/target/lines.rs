//! A file of events, one a line, or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;

use super::{Capacity, Delivered, Target, watermark_event};
use crate::replay::stage::Item;

/// Bytes that are looked at from a file's end for the end of its last whole line.
const TAIL_BYTES: u64 = 16 << 20;

/// Writes JSON lines.
pub(in crate::replay) struct LinesTarget {
    path: Option<PathBuf>,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl LinesTarget {
    /// Standard output.
    pub(in crate::replay) fn standard_output() -> Self {
        Self { path: None, writer: Mutex::new(Box::new(io::stdout())) }
    }

    /// A file: from its beginning, or after its last whole line. A line that an earlier run left half
    /// written was never counted, and is cut off.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::replay) fn file(path: &Path, go_on: bool) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(!go_on);
        let open = || -> io::Result<File> {
            let mut file = options.open(path)?;
            if go_on {
                cut_half_line(&mut file)?;
            }
            Ok(file)
        };
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: Some(path.to_owned()), writer: Mutex::new(Box::new(file)) })
    }

    fn write(&self, lines: &[u8]) -> anyhow::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .write_all(lines)
            .and_then(|()| writer.flush())
            .with_context(|| format!("cannot write {}", self.name()))
    }
}

/// Leaves the file at the end of its last whole line.
fn cut_half_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end as u64 + 1);
    file.set_len(from + whole)?;
    file.seek(SeekFrom::End(0))?;
    Ok(())
}

impl std::fmt::Debug for LinesTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LinesTarget").field("path", &self.path).finish()
    }
}

#[async_trait]
impl Target for LinesTarget {
    fn capacity(&self) -> Capacity {
        Capacity { items: 10_000, bytes: 4 << 20, in_flight: 1 }
    }

    fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        }
    }

    async fn send(&self, items: &[Item]) -> anyhow::Result<Delivered> {
        let mut lines = Vec::with_capacity(items.iter().map(|item| item.data.len() + 1).sum());
        for item in items {
            lines.extend_from_slice(&item.data);
            if !item.data.ends_with(b"\n") {
                lines.push(b'\n');
            }
        }
        self.write(&lines)?;
        Ok(Delivered { requests: 1, ..Delivered::default() })
    }

    async fn watermark(&self, at_ms: i64) -> anyhow::Result<u64> {
        let mut line = watermark_event(at_ms);
        line.push(b'\n');
        self.write(&line)?;
        Ok(1)
    }
}

//! The shipped real trips as files that grow while they are read.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Growing copies of the sample files.
pub(crate) struct Feed {
    folder: PathBuf,
    files: Vec<Growing>,
}

struct Growing {
    path: PathBuf,
    copy: File,
    whole: Vec<u8>,
    written: usize,
}

impl Feed {
    /// Each copy begins as a header and one trip.
    pub(crate) fn start(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let sample = crate::tool::repository().join("pipelines/taxi/sample");
        let mut files = Vec::new();
        for name in ["green_tripdata_2019-03_sample.csv", "yellow_tripdata_2019-03_sample.csv"] {
            let whole = fs::read(sample.join(name)).unwrap();
            let path = folder.join(name);
            let mut copy = File::create(&path).unwrap();
            let lines = whole.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
            let written = lines.map(|(at, _)| at + 1).nth(1).unwrap();
            copy.write_all(&whole[..written]).unwrap();
            files.push(Growing { path, copy, whole, written });
        }
        Self { folder: folder.to_owned(), files }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// Trips in all files once they are whole.
    pub(crate) fn rows(&self) -> u64 {
        let lines = |whole: &[u8]| whole.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.files.iter().map(|file| lines(&file.whole) - 1).sum()
    }

    /// Lets the files grow to this part of their size, which is mostly somewhere within a line.
    pub(crate) fn grow(&mut self, part: u64, of: u64) {
        for file in &mut self.files {
            let size = file.whole.len() as u64;
            let end = usize::try_from((size * part / of).min(size)).unwrap().max(file.written);
            file.copy.write_all(&file.whole[file.written..end]).unwrap();
            file.written = end;
        }
    }
}

//! The world: the store's objects, and what each process knows.

use crate::Protocol;

/// A set of records, record 1 at bit 0.
pub type Records = u8;

/// The records from `first` to `last`, both included.
pub(crate) fn range(first: u8, last: u8) -> Records {
    (first..=last).fold(0, |set, record| set | bit(record))
}

pub(crate) fn bit(record: u8) -> Records {
    1 << (record - 1)
}

/// The last record of a set; 0 where it is empty.
pub(crate) fn last_of(records: Records) -> u8 {
    (Records::BITS - records.leading_zeros()) as u8
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The lane's entries; number 1 first. A deleted one stays here as a trace.
    pub entries: Vec<Entry>,
    /// How often each record was committed.
    pub commits: Vec<u8>,
    /// The checkpoint object.
    pub checkpoint: Checkpoint,
    /// Rows of files that readers see and nobody works on any more.
    pub settled: Records,
    /// A row is in two files that readers see.
    pub is_doubled: bool,
    /// Files that somebody works on, by key.
    pub files: Vec<File>,
    /// Their uploads: `true` while there is one to complete.
    pub uploads: Vec<bool>,
    /// Ingesters.
    pub ingesters: Vec<Ingester>,
    /// Publishers.
    pub publishers: Vec<Publisher>,
    /// Records that the function has said are done.
    pub acknowledged: Records,
    /// Where the mapping is: it delivers from any record up to the one after this.
    pub pointer: u8,
    /// The record that the mapping has skipped.
    pub skipped: Option<u8>,
    /// The record that is refused as long as it is not mended.
    pub refused: Option<u8>,
    /// How many more uploads may expire.
    pub expiries_left: u8,
    /// The checkpoint went back.
    pub went_back: bool,
    /// A committed file is lost for good.
    pub is_unrecoverable: bool,
    /// A committed upload is lost although none has expired.
    pub is_lost_by_abort: bool,
}

/// A journal entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The records in it.
    pub records: Records,
    /// It is older than retention.
    pub is_old: bool,
    /// It is deleted.
    pub is_deleted: bool,
}

/// The checkpoint: how far publish is, and what is pending.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checkpoint {
    /// Counts replacements; stands for the object's tag too.
    pub version: u8,
    /// Number of the last published entry.
    pub number: u8,
    /// Last record of the published entries.
    pub last: u8,
    /// Files committed and perhaps not visible.
    pub pending: Vec<Pending>,
}

/// A pending file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pending {
    /// Index in [`State::files`].
    pub file: u8,
    /// Index in [`State::uploads`].
    pub upload: u8,
}

/// A file of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct File {
    /// First and last entry whose rows it holds.
    pub entries: (u8, u8),
    /// Its rows.
    pub records: Records,
    /// Readers see it.
    pub is_visible: bool,
}

/// What is known of a lane's newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tail {
    /// Its number.
    pub number: u8,
    /// Last record that is in.
    pub last: u8,
}

/// An ingester.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ingester {
    /// What it remembers between invocations.
    pub tail: Option<Tail>,
    /// What it is doing.
    pub work: IngestWork,
}

/// An invocation's progress. `batch` is the first and last record delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IngestWork {
    /// No invocation.
    #[default]
    Idle,
    /// About to read the checkpoint.
    LookUp {
        /// The batch.
        batch: (u8, u8),
        /// Entries that were there when the look-up began.
        since: u8,
    },
    /// The checkpoint is read, about to list.
    List {
        /// The batch.
        batch: (u8, u8),
        /// Entries that were there when the look-up began.
        since: u8,
        /// What the checkpoint said.
        found: Tail,
    },
    /// The listing is empty, about to read the checkpoint again.
    Again {
        /// The batch.
        batch: (u8, u8),
        /// Entries that were there when the look-up began.
        since: u8,
        /// What the checkpoint said.
        found: Tail,
    },
    /// The tail is known.
    Ready {
        /// The batch.
        batch: (u8, u8),
        /// The tail.
        tail: Tail,
    },
    /// The PUT is on its way.
    Sent {
        /// The batch.
        batch: (u8, u8),
        /// The tail.
        tail: Tail,
        /// What is put.
        records: Records,
    },
    /// The number is taken; about to read who has it.
    Overtaken {
        /// The batch.
        batch: (u8, u8),
        /// The tail.
        tail: Tail,
    },
}

/// A publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Publisher {
    /// What it is doing.
    pub work: PublishWork,
}

/// A publisher's progress. `base` is the checkpoint that it goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PublishWork {
    /// No run.
    #[default]
    Idle,
    /// Completing pending files; those before `at` are done.
    Settling {
        /// The checkpoint.
        base: Checkpoint,
        /// Index of the next pending file.
        at: u8,
        /// Files found lost so far.
        lost: Vec<u8>,
    },
    /// Nothing is pending in `base`.
    Settled {
        /// The checkpoint.
        base: Checkpoint,
    },
    /// The commit is on its way.
    Committing {
        /// The checkpoint.
        base: Checkpoint,
        /// What replaces it.
        next: Checkpoint,
        /// It has taken effect; the publisher does not know.
        has_landed: bool,
        /// The publisher has had no answer, has found the checkpoint unchanged, and has ended its run;
        /// the commit may take effect all the same.
        is_given_up: bool,
    },
}

impl State {
    pub(crate) fn new(bounds: &Protocol) -> Self {
        Self {
            entries: Vec::new(),
            commits: vec![0; usize::from(bounds.records)],
            checkpoint: Checkpoint::default(),
            settled: 0,
            is_doubled: false,
            files: Vec::new(),
            uploads: Vec::new(),
            ingesters: vec![Ingester::default(); bounds.ingesters],
            publishers: vec![Publisher::default(); bounds.publishers],
            acknowledged: 0,
            pointer: 0,
            skipped: None,
            refused: bounds.refused,
            expiries_left: bounds.expiries,
            went_back: false,
            is_unrecoverable: false,
            is_lost_by_abort: false,
        }
    }

    /// Number of the newest entry that was ever written.
    pub(crate) fn newest(&self) -> u8 {
        self.entries.len() as u8
    }

    /// An entry that is there.
    pub(crate) fn entry(&self, number: u8) -> Option<Entry> {
        let index = usize::from(number).checked_sub(1)?;
        self.entries.get(index).copied().filter(|entry| !entry.is_deleted)
    }

    /// Records of the entries up to `number`, deleted ones included.
    pub(crate) fn records_up_to(&self, number: u8) -> Records {
        self.entries.iter().take(usize::from(number)).fold(0, |set, entry| set | entry.records)
    }

    /// Puts an entry where there is none. `true`: it is there now.
    pub(crate) fn put_entry(&mut self, number: u8, records: Records) -> bool {
        if self.entry(number).is_some() {
            return false;
        }
        let entry = Entry { records, is_old: false, is_deleted: false };
        match self.entries.get_mut(usize::from(number) - 1) {
            Some(deleted) => *deleted = entry,
            None => self.entries.push(entry),
        }
        for (index, count) in self.commits.iter_mut().enumerate() {
            *count += u8::from(records & (1 << index) != 0);
        }
        true
    }

    /// The oldest number that an ingester goes by: entries with a higher one are younger than its
    /// look-up, and must not be old enough to be deleted. (An entry that the look-up itself has found
    /// may be younger too; letting it be deleted asks more of the protocol, not less.)
    pub(crate) fn oldest_knowledge(&self) -> Option<u8> {
        self.ingesters.iter().filter_map(Ingester::knowledge).min()
    }

    /// Forgets files and uploads that nobody will touch again: strays, and files that readers see.
    /// States that differ in these alone are one.
    pub(crate) fn tidy(&mut self) {
        let mut used: Vec<Pending> = self.checkpoint.pending.clone();
        for publisher in &self.publishers {
            match &publisher.work {
                PublishWork::Idle => {}
                PublishWork::Settling { base, .. } | PublishWork::Settled { base } => {
                    used.extend(&base.pending)
                }
                PublishWork::Committing { base, next, .. } => {
                    used.extend(base.pending.iter().chain(&next.pending))
                }
            }
        }
        let files: Vec<u8> = sorted(used.iter().map(|pending| pending.file));
        let uploads: Vec<u8> = sorted(used.iter().map(|pending| pending.upload));
        for (index, file) in self.files.iter().enumerate() {
            if file.is_visible && !files.contains(&(index as u8)) {
                self.is_doubled |= self.settled & file.records != 0;
                self.settled |= file.records;
            }
        }
        self.files = files.iter().map(|&file| self.files[usize::from(file)]).collect();
        self.uploads = uploads.iter().map(|&upload| self.uploads[usize::from(upload)]).collect();
        let place =
            |places: &[u8], old: u8| places.iter().position(|&kept| kept == old).unwrap_or_default() as u8;
        let renumber = |checkpoint: &mut Checkpoint| {
            for pending in &mut checkpoint.pending {
                pending.file = place(&files, pending.file);
                pending.upload = place(&uploads, pending.upload);
            }
        };
        renumber(&mut self.checkpoint);
        for publisher in &mut self.publishers {
            match &mut publisher.work {
                PublishWork::Idle => {}
                PublishWork::Settling { base, lost, .. } => {
                    renumber(base);
                    lost.iter_mut().for_each(|file| *file = place(&files, *file));
                }
                PublishWork::Settled { base } => renumber(base),
                PublishWork::Committing { base, next, .. } => {
                    renumber(base);
                    renumber(next);
                }
            }
        }
    }
}

fn sorted(numbers: impl Iterator<Item = u8>) -> Vec<u8> {
    let set: std::collections::BTreeSet<u8> = numbers.collect();
    set.into_iter().collect()
}

impl Ingester {
    fn knowledge(&self) -> Option<u8> {
        match &self.work {
            IngestWork::Idle => self.tail.map(|tail| tail.number),
            IngestWork::LookUp { since, .. }
            | IngestWork::List { since, .. }
            | IngestWork::Again { since, .. } => Some(*since),
            IngestWork::Ready { tail, .. }
            | IngestWork::Sent { tail, .. }
            | IngestWork::Overtaken { tail, .. } => Some(tail.number),
        }
    }
}

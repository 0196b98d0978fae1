//! The journal's side of an audit: entries in line, counts that add up.

use futures_util::TryStreamExt as _;
use tripline_model::decode::digest;
use tripline_model::source::Position;

use super::{AT_ONCE, Audit, AuditError, AuditedLane, breach};
use crate::checkpoint::LanePosition;
use crate::invariants::Invariant;
use crate::journal::entries;
use crate::journal::entry::{Entry, Header, TableTotals, Totals};
use crate::lane::Lane;
use crate::store::ObjectStore;

/// Follows a lane's entries and compares them with each other and with the lane's position.
struct Walk<'a> {
    folder: &'a str,
    position: Option<&'a LanePosition>,
    /// Numbers of the first and the newest entry listed.
    first: Option<u64>,
    newest: Option<u64>,
    /// Lane of the entries, and the position that they reach, as far as they can be read.
    lane: Option<Lane>,
    last: Option<Position>,
    unreadable: bool,
    /// Totals of the retained entries up to the position, and after it.
    published: Totals,
    waiting: Totals,
    waiting_entries: u64,
    faults: Vec<String>,
}

pub(super) async fn audit_lane(
    store: &dyn ObjectStore,
    folder: &str,
    position: Option<&LanePosition>,
    audit: &mut Audit,
) -> Result<(), AuditError> {
    let mut walk = Walk {
        folder,
        position,
        first: None,
        newest: None,
        lane: None,
        last: None,
        unreadable: false,
        published: Totals::default(),
        waiting: Totals::default(),
        waiting_entries: 0,
        faults: Vec::new(),
    };
    let mut entries = entries(store, folder, 0, AT_ONCE);
    while let Some(listed) = entries.try_next().await? {
        listed.number.into_iter().for_each(|number| walk.count(number));
        match (listed.number, listed.entry) {
            (Some(number), Ok(entry)) => walk.step(number, &entry),
            (Some(_), Err(fault)) => walk.unreadable(fault),
            (None, entry) => walk.faults.extend(entry.err()),
        }
    }
    walk.finish(audit);
    Ok(())
}

impl Walk<'_> {
    /// Numbers come in ascending order, none twice.
    fn count(&mut self, number: u64) {
        if let Some(newest) = self.newest
            && number != newest + 1
        {
            let (from, to) = (newest + 1, number - 1);
            self.breach(
                Invariant::NothingLost,
                number,
                format_args!("entries {from} to {to} before it are missing"),
            );
        }
        self.first.get_or_insert(number);
        self.newest = Some(number);
    }

    fn unreadable(&mut self, fault: String) {
        self.faults.push(fault);
        self.unreadable = true;
    }

    fn step(&mut self, number: u64, entry: &Entry) {
        let header = &entry.header;
        if header.number != number || header.lane.folder() != self.folder {
            self.fault(number, format_args!("it is entry {} of {}", header.number, header.lane));
        }
        let position = self.position.filter(|position| number > position.number);
        // The entries that the position covers may be deleted: then it alone says how far they went.
        let last = self.last.max(position.map(|position| position.last));
        if let Some(last) = last
            && header.first <= last
        {
            let what = format_args!("it begins with record {} after {last}", header.first);
            self.breach(Invariant::PositionsAscend, number, what);
        }
        self.check_rows(number, entry);
        self.check_position(number, header);
        if self.position.is_some_and(|position| number <= position.number) {
            self.published.add(&header.totals);
        } else {
            self.waiting.add(&header.totals);
            self.waiting_entries += 1;
        }
        self.lane.get_or_insert_with(|| header.lane.clone());
        self.last = self.last.max(Some(header.last));
    }

    /// The checkpoint and the last entry that it has published agree on where they are.
    fn check_position(&mut self, number: u64, header: &Header) {
        if let Some(position) = self.position
            && position.number == number
            && position.last != header.last
        {
            let what = format_args!(
                "{}: the checkpoint's position is {} where entry {number} ends with {}",
                position.lane, position.last, header.last
            );
            self.faults.push(breach(Invariant::CommitReconciles, what));
        }
    }

    /// The columns hold what the header counts.
    fn check_rows(&mut self, number: u64, entry: &Entry) {
        let sections = match entry.sections() {
            Ok(sections) => sections,
            Err(error) => return self.fault(number, format_args!("{error}")),
        };
        let mut found = std::collections::BTreeMap::<String, TableTotals>::new();
        for section in &sections {
            match digest(&section.rows) {
                Ok(digest) => {
                    let rows = section.rows.num_rows() as u64;
                    found.entry(section.table.to_string()).or_default().add(TableTotals { rows, digest });
                }
                Err(error) => self.fault(number, format_args!("{error}")),
            }
        }
        if found != entry.header.totals.tables {
            let what = format_args!("its columns do not hold the rows that its header counts");
            self.breach(Invariant::OneOutcome, number, what);
        }
    }

    fn breach(&mut self, invariant: Invariant, number: u64, what: std::fmt::Arguments<'_>) {
        self.fault(number, format_args!("{}", breach(invariant, what)));
    }

    fn fault(&mut self, number: u64, what: std::fmt::Arguments<'_>) {
        self.faults.push(format!("journal {} entry {number}: {what}", self.folder));
    }

    fn finish(mut self, audit: &mut Audit) {
        let position_number = self.position.map_or(0, |position| position.number);
        if let Some((first, newest)) = self.first.zip(self.newest)
            && (first > position_number.saturating_add(1) || newest < position_number)
        {
            let what = format_args!(
                "journal {}: entries around the published position {position_number} are missing",
                self.folder
            );
            self.faults.push(breach(Invariant::NothingLost, what));
        }
        if let Some(position) = self.position {
            if position.lane.folder() != self.folder {
                let (lane, folder) = (&position.lane, self.folder);
                self.faults.push(format!("{lane}: its position is under another lane's name, {folder}"));
            }
            if !position.totals.balanced() {
                let what = format_args!("{}: published records and rows do not add up", position.lane);
                self.faults.push(breach(Invariant::OneOutcome, what));
            }
            if self.first == Some(1) && !self.unreadable && self.published != position.totals {
                let what =
                    format_args!("{}: the checkpoint counts other rows than its entries", position.lane);
                self.faults.push(breach(Invariant::CommitReconciles, what));
            }
        }
        audit.faults.append(&mut self.faults);
        let lane = self.position.map(|position| position.lane.clone());
        let Some(lane) = lane.or(self.lane) else { return };
        let published = self.position.map(|position| position.totals.clone()).unwrap_or_default();
        let mut totals = published.clone();
        totals.add(&self.waiting);
        let last = self.last.max(self.position.map(|position| position.last));
        audit.lanes.push(AuditedLane {
            lane,
            published_entries: position_number,
            waiting_entries: self.waiting_entries,
            totals,
            published,
            last: last.map(|last| last.to_string()).unwrap_or_default(),
        });
    }
}

//! Aggregated records of the Kinesis Producer Library (KPL), which packs many records into one of the
//! stream; Lambda hands them over as they are.
//!
//! ```text
//! F3 89 9A C2 · AggregatedRecord, a protobuf message · MD5 of the message
//!
//! message AggregatedRecord {                       message Record {
//!   repeated string partition_key_table     = 1;     required uint64 partition_key_index     = 1;
//!   repeated string explicit_hash_key_table = 2;     optional uint64 explicit_hash_key_index = 2;
//!   repeated Record records                 = 3;     required bytes  data                    = 3;
//! }                                                  repeated Tag    tags                    = 4;
//!                                                  }
//! ```
//!
//! A record that begins like an aggregate, but has another MD5 or no sound message, is an ordinary record, as
//! it is for the Kinesis Client Library. So is one with an index beyond its table, as aggregates are taken
//! apart whole or not at all; one beyond what is allowed here ([`MAX_USER_RECORDS`], [`MAX_KEY_CHARACTERS`]);
//! and one that holds no record, so that every record of the stream leaves a trace in the lake. Nothing but
//! the record itself decides: it comes to the same in whatever batch it is delivered.
//!
//! Fields that are not known, and tags, are passed over. Explicit hash keys only chose the shard. Where a shard
//! is split, the KPL sends those user records again that belong to another shard now; the Client Library
//! leaves the first ones out by the shard's range of hash keys, which Lambda does not tell. Here they stay.

use std::collections::HashMap;
use std::str;

use md5::{Digest, Md5};
use tripline_model::source::{Payload, SourceRecord};

use crate::protobuf::{Fields, Malformed, Value, push_bytes, push_varint};

/// The most user records that an aggregate may hold: many more than a KPL packs into its usual 50 KiB.
///
/// A user record may take six bytes, and become a dead letter of more than a thousand. An aggregate cannot
/// be divided between journal entries, nor by a mapping that bisects its batch, so it must be small enough by
/// itself: this many dead letters are 100 MiB at most, where an entry may have a gigabyte.
pub const MAX_USER_RECORDS: usize = 65_536;

/// The longest partition key: Kinesis' own limit, to which a producer that makes aggregates is not bound.
/// All records of an aggregate may share one key, and each dead letter repeats it.
pub const MAX_KEY_CHARACTERS: usize = 256;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

// Fields of AggregatedRecord,
const PARTITION_KEY_TABLE: u32 = 1;
const EXPLICIT_HASH_KEY_TABLE: u32 = 2;
const RECORDS: u32 = 3;
// and of Record.
const PARTITION_KEY_INDEX: u32 = 1;
const EXPLICIT_HASH_KEY_INDEX: u32 = 2;
const DATA: u32 = 3;

/// A record as it was handed to the KPL, borrowed from the aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRecord<'a> {
    /// Its own partition key.
    pub partition_key: &'a str,
    /// Its data.
    pub data: &'a [u8],
}

/// The records in an aggregate, in their order and at least one; `None` where `data` is an ordinary
/// record's.
#[must_use]
pub fn user_records(data: &[u8]) -> Option<Vec<UserRecord<'_>>> {
    let (message, digest) = data.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    if Md5::digest(message).as_slice() != digest {
        return None;
    }
    read(message).ok().filter(|records| !records.is_empty())
}

/// Adds what a record of the stream holds: its user records where it is an aggregate, else itself.
pub(crate) fn unpack<'a>(record: SourceRecord<'a>, into: &mut Vec<SourceRecord<'a>>) {
    let aggregated = match record.payload {
        Payload::Bytes(data) => user_records(data),
        Payload::Undecodable(_) => None,
    };
    match aggregated {
        None => into.push(record),
        Some(records) => into.extend((0..).zip(records).map(|(sub_position, user)| SourceRecord {
            sub_position,
            partition_key: user.partition_key,
            headers: "",
            payload: Payload::Bytes(user.data),
            ..record
        })),
    }
}

/// A user record whose keys are not looked up yet: their tables may come after it.
struct Indexed<'a> {
    partition_key: u64,
    explicit_hash_key: Option<u64>,
    data: &'a [u8],
}

fn read(message: &[u8]) -> Result<Vec<UserRecord<'_>>, Malformed> {
    let (mut keys, mut hash_keys, mut records) = (Vec::new(), 0, Vec::new());
    let mut fields = Fields::of(message);
    while let Some(field) = fields.next()? {
        match field {
            (PARTITION_KEY_TABLE, Value::Bytes(key)) => keys.push(partition_key(key)?),
            (EXPLICIT_HASH_KEY_TABLE, Value::Bytes(_)) => hash_keys += 1,
            (RECORDS, Value::Bytes(record)) => records.push(Indexed::read(record)?),
            // As in all of protobuf, a field of another type than it should have is not known.
            _ => {}
        }
        // Keys without a record are of no use, so that one limit will do for both.
        if records.len().max(keys.len()) > MAX_USER_RECORDS {
            return Err(Malformed);
        }
    }
    records.into_iter().map(|record| record.look_up(&keys, hash_keys).ok_or(Malformed)).collect()
}

/// As long as a stream's own partition keys, and UTF-8 as they are.
fn partition_key(key: &[u8]) -> Result<&str, Malformed> {
    let key = str::from_utf8(key).map_err(|_| Malformed)?;
    if key.chars().nth(MAX_KEY_CHARACTERS).is_some() { Err(Malformed) } else { Ok(key) }
}

impl<'a> Indexed<'a> {
    fn read(record: &'a [u8]) -> Result<Self, Malformed> {
        let (mut partition_key, mut explicit_hash_key, mut data) = (None, None, None);
        let mut fields = Fields::of(record);
        while let Some(field) = fields.next()? {
            match field {
                (PARTITION_KEY_INDEX, Value::Varint(index)) => partition_key = Some(index),
                (EXPLICIT_HASH_KEY_INDEX, Value::Varint(index)) => explicit_hash_key = Some(index),
                (DATA, Value::Bytes(bytes)) => data = Some(bytes),
                _ => {}
            }
        }
        match (partition_key, data) {
            (Some(partition_key), Some(data)) => Ok(Self { partition_key, explicit_hash_key, data }),
            _ => Err(Malformed),
        }
    }

    /// `None` where an index lies beyond its table.
    fn look_up(&self, keys: &[&'a str], hash_keys: u64) -> Option<UserRecord<'a>> {
        let &partition_key = keys.get(usize::try_from(self.partition_key).ok()?)?;
        let is_in_table = self.explicit_hash_key.is_none_or(|index| index < hash_keys);
        is_in_table.then_some(UserRecord { partition_key, data: self.data })
    }
}

/// Packs records into an aggregate, as the KPL does.
///
/// How large it may become (1 MiB with its partition key, for most streams) is the caller's business.
#[derive(Clone, Debug, Default)]
pub struct Aggregator {
    indices: HashMap<String, u64>,
    tables: Vec<u8>,
    records: Vec<u8>,
    count: usize,
}

impl Aggregator {
    /// Adds a record. `false`: it cannot be added, by [`MAX_USER_RECORDS`] or [`MAX_KEY_CHARACTERS`].
    #[must_use]
    pub fn push(&mut self, record: &UserRecord<'_>) -> bool {
        let UserRecord { partition_key: key, data } = *record;
        if self.count == MAX_USER_RECORDS || key.chars().nth(MAX_KEY_CHARACTERS).is_some() {
            return false;
        }
        let index = match self.indices.get(key) {
            Some(&index) => index,
            None => {
                let index = self.indices.len() as u64;
                self.indices.insert(key.to_owned(), index);
                push_bytes(&mut self.tables, PARTITION_KEY_TABLE, key.as_bytes());
                index
            }
        };
        let mut message = Vec::with_capacity(data.len() + 24);
        push_varint(&mut message, PARTITION_KEY_INDEX, index);
        push_bytes(&mut message, DATA, data);
        push_bytes(&mut self.records, RECORDS, &message);
        self.count += 1;
        true
    }

    /// How long the aggregate of what was added is, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        MAGIC.len() + self.tables.len() + self.records.len() + DIGEST_BYTES
    }

    /// The aggregate; `None` if nothing was added.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        let digest = Md5::new().chain_update(&self.tables).chain_update(&self.records).finalize();
        Some([&MAGIC[..], &self.tables, &self.records, &digest].concat())
    }
}

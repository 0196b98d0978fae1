//! Entries that are damaged, or made by somebody who means harm: refused, at no cost, whatever they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use serde_json::{Value, json};
use support::bench::*;
use tripline_lake::journal::entry::{Entry, EntryError};
use tripline_lake::layout::entry_key;
use tripline_lake::store::ObjectStore;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8] = b"TRIPJRN1";

/// An entry of one section, taken apart: its header, and its section unpacked.
async fn parts() -> (Value, Vec<u8>) {
    let (_, store, lake) = bench().await;
    append(&lake, 1..=6).await;
    let body = store.get(&entry_key(&folder("shard-0"), 1)).await.unwrap().unwrap().body;
    let length = u32::from_le_bytes(body[MAGIC.len()..][..4].try_into().unwrap()) as usize;
    let (header, frame) = body[MAGIC.len() + 4..body.len() - 8].split_at(length);
    let header: Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header["sections"].as_array().unwrap().len(), 1);
    let raw_length = header["sections"][0]["raw_length"].as_u64().unwrap() as usize;
    (header, zstd::bulk::decompress(frame, raw_length).unwrap())
}

/// The entry that these parts make, with a checksum that holds.
fn entry(header: &Value, section: &[u8]) -> Result<Entry, EntryError> {
    let frame = zstd::bulk::compress(section, 1).unwrap();
    let mut header = header.clone();
    header["sections"][0]["length"] = frame.len().into();
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    let mut body = [MAGIC, &length, &header, &frame].concat();
    body.extend(xxh3_64(&body).to_le_bytes());
    Entry::parse(&Bytes::from(body))
}

#[tokio::test]
async fn an_entry_that_is_put_together_again_is_the_same() {
    let (header, section) = parts().await;
    let sections = entry(&header, &section).unwrap().sections().unwrap();
    assert_eq!((sections.len(), sections[0].rows.num_rows()), (1, 6));
}

#[tokio::test]
async fn columns_that_no_reader_could_read_are_an_error_and_no_panic() {
    let (mut header, section) = parts().await;
    let mut refused = 0;
    // Arrow's reader trusts some of the lengths that a batch tells.
    for at in 12..section.len() {
        for byte in [0xFF, 0x7F, 0x00] {
            let mut damaged = section.clone();
            damaged[at] = byte;
            header["sections"][0]["raw_length"] = damaged.len().into();
            refused += u64::from(entry(&header, &damaged).unwrap().sections().is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

#[tokio::test]
async fn counts_that_add_up_to_more_than_there_can_be_are_refused() {
    let (mut header, section) = parts().await;
    let most = json!({ "rows": u64::MAX, "digest": 0 });
    header["tables"] = json!({ "ride": most, "dead_letter": most });
    for (records, watermarks) in [(6, 0), (u64::MAX - 1, 0), (u64::MAX, u64::MAX), (u64::MAX, 1)] {
        header["records"] = records.into();
        header["watermarks"] = watermarks.into();
        let refused = entry(&header, &section).map(drop).unwrap_err();
        assert!(matches!(refused, EntryError::NotAnEntry(_)), "{refused}");
    }
}

#[tokio::test]
async fn an_entry_unpacks_to_no_more_than_any_reader_accepts() {
    let (mut header, section) = parts().await;
    for raw_length in [(1_u64 << 30) + 1, u64::MAX] {
        header["sections"][0]["raw_length"] = raw_length.into();
        assert!(entry(&header, &section).is_err(), "{raw_length}");
    }
    // Each is small enough, but not all together.
    let mut listed = header["sections"][0].clone();
    listed["raw_length"] = (1_u64 << 29).into();
    listed["length"] = 0.into();
    header["sections"] = json!([listed, listed, listed]);
    assert!(entry(&header, &section).is_err());
    listed["raw_length"] = u64::MAX.into();
    header["sections"] = json!([listed, listed]);
    assert!(entry(&header, &section).is_err());
}

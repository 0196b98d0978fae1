//! Where an entry that cannot be read is damaged, as far as its bytes still tell.

use bytes::Bytes;

use super::entry::{CHECKSUM_BYTES, Header, MAGIC};
use super::section;

/// Says in words where an object that begins as an entry does is not what was written.
pub(crate) fn locate(bytes: &Bytes) -> String {
    let begin = MAGIC.len() + 4;
    let length = bytes.get(MAGIC.len()..).and_then(|rest| rest.first_chunk::<4>());
    let Some(length) = length.map(|length| u32::from_le_bytes(*length) as usize) else {
        return format!("it is cut off within its first {begin} bytes");
    };
    let size = bytes.len();
    let Some(header) = bytes.get(begin..begin + length) else {
        return format!(
            "it is cut off within its header: {size} bytes are there, and the header alone has {length}"
        );
    };
    let header: Header = match serde_json::from_slice(header) {
        Ok(header) => header,
        Err(error) => {
            return format!("its header, bytes {begin} to {}, cannot be read: {error}", begin + length);
        }
    };
    let sections = header.sections.iter().fold(0_u64, |sum, section| sum.saturating_add(section.length));
    let whole = ((begin + length + CHECKSUM_BYTES) as u64).saturating_add(sections);
    match (size as u64).cmp(&whole) {
        std::cmp::Ordering::Less => return format!("it is cut off: {size} bytes are there of {whole}"),
        std::cmp::Ordering::Greater => {
            return format!("{} bytes follow its end at byte {whole}", size as u64 - whole);
        }
        std::cmp::Ordering::Equal => {}
    }
    let mut at = begin + length;
    for (index, listed) in (1..).zip(&header.sections) {
        let end = at.saturating_add(usize::try_from(listed.length).unwrap_or(usize::MAX));
        if let Err(error) = section::unpack(listed, bytes.get(at..end).unwrap_or_default()) {
            return format!("section {index} (table {}), bytes {at} to {end}: {error}", listed.table);
        }
        at = end;
    }
    format!(
        "its sections can be unpacked: the header, bytes {begin} to {}, or the checksum at its end differs",
        begin + length
    )
}

//! Headers that the serialisers of schema registries put before a record.
//!
//! | registry | bytes |
//! |---|---|
//! | Confluent ("Wire format") | `00`, the schema's id in 4 bytes, big-endian |
//! | AWS Glue | `03`, `00` for none or `05` for zlib compression, the schema version's UUID in 16 bytes |
//!
//! No JSON text begins with either byte, so that a header is told wherever a record comes from.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::bufread::ZlibDecoder;

use super::reason::{Reason, Refusal};

const CONFLUENT: u8 = 0x00;
const GLUE: u8 = 0x03;
const UNCOMPRESSED: u8 = 0x00;
const ZLIB: u8 = 0x05;
const GLUE_HEADER: usize = 18;

/// The JSON text of a record, of `longest` bytes at most where it must be unpacked: what follows a
/// header, or all of it where there is none.
///
/// # Errors
/// [`Reason::WireFormat`] for a header before anything but a JSON object or `null`,
/// [`Reason::TooLarge`] for what unpacks to more.
pub(super) fn json_of(payload: &[u8], longest: usize) -> Result<Cow<'_, [u8]>, Refusal> {
    match payload {
        [CONFLUENT, a, b, c, d, content @ ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            json(Cow::Borrowed(content), || format!("a Confluent schema registry's header (schema {id})"))
        }
        [GLUE, packing @ (UNCOMPRESSED | ZLIB), ..] if payload.len() >= GLUE_HEADER => {
            let content = payload.get(GLUE_HEADER..).unwrap_or_default();
            let content = match *packing {
                ZLIB => Cow::Owned(unpack(content, longest)?),
                _ => Cow::Borrowed(content),
            };
            json(content, || "an AWS Glue schema registry's header".to_owned())
        }
        _ => Ok(Cow::Borrowed(payload)),
    }
}

fn unpack(mut packed: &[u8], longest: usize) -> Result<Vec<u8>, Refusal> {
    let mut content = Vec::new();
    let bound = longest.saturating_add(1);
    let read = ZlibDecoder::new(&mut packed).take(bound as u64).read_to_end(&mut content);
    if content.len() > longest {
        let message = format!("the record unpacks to more than the {longest} bytes that are allowed");
        return Err(Refusal::new(Reason::TooLarge, message));
    }
    if read.is_err() || !packed.is_empty() {
        let message = "an AWS Glue schema registry's header says that the record is compressed by zlib, which it is not";
        return Err(Refusal::new(Reason::WireFormat, message));
    }
    Ok(content)
}

fn json<'a>(content: Cow<'a, [u8]>, header: impl FnOnce() -> String) -> Result<Cow<'a, [u8]>, Refusal> {
    match content.trim_ascii() {
        b"null" | [b'{', ..] => Ok(content),
        _ => {
            let message = format!(
                "{} stands before what is no JSON object: Avro and Protobuf are not read, have the producer send JSON",
                header()
            );
            Err(Refusal::new(Reason::WireFormat, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;

    use super::*;

    const CONFLUENT_7: &[u8] = b"\x00\x00\x00\x00\x07";
    const GLUE_PLAIN: &[u8] = b"\x03\x00\xb7\xb4\xa7\xf0\x9c\x96\x4e\x4a\xa6\x87\xfb\x5d\xe9\xef\x0c\x63";

    fn read(header: &[u8], content: &[u8]) -> Result<Vec<u8>, Reason> {
        let payload = [header, content].concat();
        json_of(&payload, 100).map(Cow::into_owned).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn json_behind_a_header_is_read() {
        for header in [b"", CONFLUENT_7, GLUE_PLAIN] {
            for content in [&b"{\"a\":1}"[..], b" \n{}", b"null"] {
                assert_eq!(read(header, content), Ok(content.to_vec()));
            }
        }
    }

    #[test]
    fn what_is_no_json_behind_a_header_is_refused_as_such() {
        for content in [&b""[..], b"\x02\x06abc", b"[]", b"nil"] {
            assert_eq!(read(CONFLUENT_7, content), Err(Reason::WireFormat));
            assert_eq!(read(GLUE_PLAIN, content), Err(Reason::WireFormat));
        }
    }

    #[test]
    fn what_glue_has_compressed_is_unpacked_within_bounds() {
        let header = [b"\x03\x05", GLUE_PLAIN.get(2..).unwrap_or_default()].concat();
        let pack = |content: &[u8]| {
            let mut packed = Vec::new();
            flate2::read::ZlibEncoder::new(content, Compression::default())
                .read_to_end(&mut packed)
                .map(|_| packed)
        };
        let read_packed = |content: &[u8]| pack(content).map(|packed| read(&header, &packed)).ok();
        assert_eq!(read_packed(b"{\"a\":1}"), Some(Ok(b"{\"a\":1}".to_vec())));
        assert_eq!(read_packed(b"avro"), Some(Err(Reason::WireFormat)));
        assert_eq!(read_packed(&[b' '; 101]), Some(Err(Reason::TooLarge)));
        let mut packed = pack(b"{\"a\":1}").unwrap_or_default();
        packed.push(0);
        assert_eq!(read(&header, &packed), Err(Reason::WireFormat));
        packed.truncate(packed.len() - 3);
        assert_eq!(read(&header, &packed), Err(Reason::WireFormat));
        assert_eq!(read(&header, b"{}"), Err(Reason::WireFormat));
    }

    #[test]
    fn a_confluent_schema_is_named() {
        let refusal = json_of(b"\x00\x00\x00\x01\x02\x02", 100).err();
        assert!(refusal.is_some_and(|refusal| refusal.message.contains("schema 258")));
    }

    #[test]
    fn the_start_of_a_header_is_not_one() {
        for payload in [&b""[..], b"\x00", b"\x00\x00\x00\x00", b"\x03", b"\x03\x05{}", b"\x03\x01{}", b"{}"]
        {
            assert_eq!(read(b"", payload), Ok(payload.to_vec()));
        }
    }
}

//! Headers that the serialisers of schema registries put before a record.
//!
//! | registry | bytes |
//! |---|---|
//! | Confluent ("Wire format") | `00`, the schema's id in 4 bytes, big-endian |
//! | AWS Glue | `03`, `00` for none or `05` for zlib compression, the schema version's UUID in 16 bytes |
//!
//! No JSON text begins with either byte, so that a header is told wherever a record comes from.

use super::reason::{Reason, Refusal};

const CONFLUENT: u8 = 0x00;
const GLUE: u8 = 0x03;
const UNCOMPRESSED: u8 = 0x00;
const ZLIB: u8 = 0x05;
const GLUE_HEADER: usize = 18;

/// The JSON text of a record: what follows a header, or all of it where there is none.
///
/// # Errors
/// [`Reason::WireFormat`] for a header before anything but a JSON object or `null`.
pub(super) fn json_of(payload: &[u8]) -> Result<&[u8], Refusal> {
    match payload {
        [CONFLUENT, a, b, c, d, content @ ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            json(content, || format!("a Confluent schema registry's header (schema {id})"))
        }
        [GLUE, UNCOMPRESSED, ..] if payload.len() >= GLUE_HEADER => {
            let content = payload.get(GLUE_HEADER..).unwrap_or_default();
            json(content, || "an AWS Glue schema registry's header".to_owned())
        }
        [GLUE, ZLIB, ..] if payload.len() >= GLUE_HEADER => Err(Refusal::new(
            Reason::WireFormat,
            "an AWS Glue schema registry's header says that the record is compressed, which is not read: have the \
             producer send it uncompressed",
        )),
        _ => Ok(payload),
    }
}

fn json(content: &[u8], header: impl FnOnce() -> String) -> Result<&[u8], Refusal> {
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
    use super::*;

    const CONFLUENT_7: &[u8] = b"\x00\x00\x00\x00\x07";
    const GLUE_PLAIN: &[u8] = b"\x03\x00\xb7\xb4\xa7\xf0\x9c\x96\x4e\x4a\xa6\x87\xfb\x5d\xe9\xef\x0c\x63";

    fn read(header: &[u8], content: &[u8]) -> Result<Vec<u8>, Reason> {
        let payload = [header, content].concat();
        json_of(&payload).map(<[u8]>::to_vec).map_err(|refusal| refusal.reason)
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
        let compressed = [b"\x03\x05", GLUE_PLAIN.get(2..).unwrap_or_default()].concat();
        assert_eq!(read(&compressed, b"{}"), Err(Reason::WireFormat));
    }

    #[test]
    fn a_confluent_schema_is_named() {
        let refusal = json_of(b"\x00\x00\x00\x01\x02\x02").err();
        assert!(refusal.is_some_and(|refusal| refusal.message.contains("schema 258")));
    }

    #[test]
    fn the_start_of_a_header_is_not_one() {
        for payload in [&b""[..], b"\x00", b"\x00\x00\x00\x00", b"\x03", b"\x03\x05{}", b"\x03\x01{}", b"{}"]
        {
            assert_eq!(json_of(payload), Ok(payload));
        }
    }
}

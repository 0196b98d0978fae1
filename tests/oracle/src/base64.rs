//! Base64 as RFC 4648 has it: padded, and with no bits to spare.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let groups = bytes.chunks(3).map(|group| {
        let bits =
            group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        let digit = |at: usize| ALPHABET.get((bits >> (18 - 6 * at)) as usize & 63).copied().map(char::from);
        let digits: String = (0..=group.len()).filter_map(digit).collect();
        format!("{digits:=<4}")
    });
    groups.collect()
}

/// Decodes what [`encode`] writes, and nothing else.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let digits = group.iter().take_while(|&&digit| digit != b'=');
        let values = digits.map(|digit| ALPHABET.iter().position(|known| known == digit));
        let values = values.collect::<Option<Vec<_>>>()?;
        let bits = values.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - values.len()));
        bytes.extend((0..3).map(|at| (bits >> (16 - 8 * at)) as u8).take(values.len().saturating_sub(1)));
    }
    (encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_are_read_and_written() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in vectors.into_iter().enumerate() {
            let bytes = "foobar".as_bytes().get(..length).unwrap_or_default();
            assert_eq!((encode(bytes).as_str(), decode(text).as_deref()), (text, Some(bytes)));
        }
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9v=", "Zg==Zg==", "_w==", "Zm9v\n", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}

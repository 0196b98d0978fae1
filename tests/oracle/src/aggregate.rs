//! Aggregated records of the Kinesis Producer Library.
//!
//! Rules from the library's "KPL Aggregated Record Format" and protobuf's "Encoding"; where they leave a
//! choice, ours: no groups, keys as Kinesis has them, and no aggregate without a record.

use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const MOST_RECORDS: usize = 65_536;
const LONGEST_KEY: usize = 256;

/// A field as it stands in a message.
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Other,
}

/// An aggregate of a message, which may be any bytes.
#[must_use]
pub fn wrap(message: &[u8]) -> Vec<u8> {
    [&MAGIC, message, &Md5::digest(message)].concat()
}

/// Keys and data of the records in an aggregate; `None` for an ordinary record.
#[must_use]
pub fn read(data: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let end = data.len().checked_sub(16)?;
    let message = data.get(4..end)?;
    if data != wrap(message) {
        return None;
    }
    let fields = fields(message)?;
    let all = |wanted: u32| -> Vec<&Vec<u8>> {
        let of_number = fields.iter().filter(|(number, _)| *number == wanted);
        let bytes =
            of_number.map(|(_, value)| if let Value::Bytes(bytes) = value { Some(bytes) } else { None });
        bytes.flatten().collect()
    };
    let keys = all(1).into_iter().map(|key| String::from_utf8(key.clone()).ok());
    let keys: Vec<String> = keys.collect::<Option<_>>()?;
    let (hash_keys, records) = (all(2).len(), all(3));
    if keys.iter().any(|key| key.chars().count() > LONGEST_KEY)
        || keys.len() > MOST_RECORDS
        || records.len() > MOST_RECORDS
        || records.is_empty()
    {
        return None;
    }
    records.into_iter().map(|record| user_record(record, &keys, hash_keys)).collect()
}

fn user_record(record: &[u8], keys: &[String], hash_keys: usize) -> Option<(String, Vec<u8>)> {
    let fields = self::fields(record)?;
    let index = |wanted: u32| {
        fields.iter().rev().find_map(|(number, value)| match value {
            Value::Number(index) if *number == wanted => Some(usize::try_from(*index).unwrap_or(usize::MAX)),
            _ => None,
        })
    };
    let data = fields.iter().rev().find_map(|(number, value)| match value {
        Value::Bytes(data) if *number == 3 => Some(data.clone()),
        _ => None,
    });
    if index(2).is_some_and(|index| index >= hash_keys) {
        return None;
    }
    Some((keys.get(index(1)?)?.clone(), data?))
}

/// All fields of a message.
fn fields(message: &[u8]) -> Option<Vec<(u32, Value)>> {
    let mut rest = message.to_vec();
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = number(&mut rest)?;
        let field = u32::try_from(tag / 8).ok().filter(|field| (1..1 << 29).contains(field))?;
        let value = match tag % 8 {
            0 => Value::Number(number(&mut rest)?),
            1 => bytes(&mut rest, 8).map(|_| Value::Other)?,
            2 => {
                let length = number(&mut rest)?;
                Value::Bytes(bytes(&mut rest, length)?)
            }
            5 => bytes(&mut rest, 4).map(|_| Value::Other)?,
            _ => return None,
        };
        fields.push((field, value));
    }
    Some(fields)
}

fn bytes(rest: &mut Vec<u8>, length: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|&length| length <= rest.len())?;
    Some(rest.drain(..length).collect())
}

/// Base 128, the lowest digit first; all digits but the last have their high bit set.
fn number(rest: &mut Vec<u8>) -> Option<u64> {
    let digits = 1 + rest.iter().position(|&digit| digit < 128)?;
    let digits: Vec<u8> = rest.drain(..digits).collect();
    if digits.len() > 10 {
        return None;
    }
    let value = digits.iter().rev().fold(0_u128, |value, &digit| value * 128 + u128::from(digit % 128));
    u64::try_from(value).ok()
}

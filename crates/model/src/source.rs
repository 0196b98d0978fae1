//! Where a record comes from: its source partition and its position in it.

use std::fmt;
use std::str::FromStr;

use crate::digits;

/// A position in a source partition: a Kinesis sequence number, a Kafka offset or a line number.
///
/// Positions are non-negative integers of up to 76 decimal digits (Kinesis uses 56) and compare as
/// integers, not as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    high: u128,
    low: u128,
}

/// 10^38: `low` holds the last 38 decimal digits.
const LOW_DIGITS: usize = 38;

/// A text that is not a [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// There is no digit, or a character that is not one.
    #[error("not a whole number")]
    NotANumber,
    /// More than 76 significant digits.
    #[error("more than 76 digits")]
    TooLong,
}

impl Position {
    /// A position from a machine integer: a line number or a Kafka offset.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self { high: 0, low: value as u128 }
    }

    /// The position as a machine integer, if it fits: Kinesis' do not.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if self.high == 0 { u64::try_from(self.low).ok() } else { None }
    }

    /// Parses decimal digits. Leading zeros are ignored, as the value counts and not its spelling.
    ///
    /// # Errors
    /// [`PositionError`] when `digits` is not such a number.
    pub fn from_digits(digits: &[u8]) -> Result<Self, PositionError> {
        let significant = match digits.iter().position(|&digit| digit != b'0') {
            Some(start) => digits.get(start..).unwrap_or_default(),
            None if digits.is_empty() => return Err(PositionError::NotANumber),
            None => return Ok(Self::default()),
        };
        let (high, low) = significant.split_at(significant.len().saturating_sub(LOW_DIGITS));
        if high.len() > LOW_DIGITS && significant.iter().all(u8::is_ascii_digit) {
            return Err(PositionError::TooLong);
        }
        let number = |part| digits::number(part).ok_or(PositionError::NotANumber);
        Ok(Self { high: number(high)?, low: number(low)? })
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_digits(text.as_bytes())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.high == 0 {
            write!(formatter, "{}", self.low)
        } else {
            write!(formatter, "{}{:0width$}", self.high, self.low, width = LOW_DIGITS)
        }
    }
}

/// A source partition: one shard of one stream, one partition of one topic, or one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePartition {
    /// The stream's or cluster's ARN, or a URL for sources without one (`file:///…`).
    pub source: String,
    /// Chosen by the operator; changed when a source is made anew under its old name.
    pub epoch: String,
    /// The shard id, `topic-partition`, or another name that is unique within the source.
    pub partition: String,
}

impl SourcePartition {
    /// The topic, where the source is a Kafka cluster: one of Amazon MSK by its ARN, another by a URL
    /// (`kafka://…`).
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        let is_msk = self.source.starts_with("arn:") && self.source.split(':').nth(2) == Some("kafka");
        let is_cluster = is_msk || self.source.starts_with("kafka://");
        self.partition.rsplit_once('-').filter(|_| is_cluster).map(|(topic, _)| topic)
    }
}

impl fmt::Display for SourcePartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.source, self.partition)?;
        if !self.epoch.is_empty() {
            write!(formatter, " (epoch {})", self.epoch)?;
        }
        Ok(())
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The record's bytes.
    Bytes(&'a [u8]),
    /// The envelope's data field could not be turned into bytes; its text as it stands.
    Undecodable(&'a [u8]),
}

/// One record of a source partition, borrowed from the event that delivered it.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    /// Position in the source partition.
    pub position: Position,
    /// Index within an aggregated record, whose user records share one position; else 0.
    pub sub_position: u32,
    /// When the source took the record in, milliseconds since 1970 UTC; `None` where it does not say.
    /// A Kafka topic of `CREATE_TIME` gives the producer's word for it.
    pub arrival_ms: Option<i64>,
    /// Partition key, as text; a Kafka key that is no UTF-8 in base64.
    pub partition_key: &'a str,
    /// Headers of a Kafka record, as the event has them: a JSON array of objects, each with a name and its bytes
    /// as numbers, `[{"producer":[116,108,99]}]`. Empty where there are none.
    pub headers: &'a str,
    /// The record itself.
    pub payload: Payload<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_as_integers_and_print_as_they_were_read() -> Result<(), PositionError> {
        let sequence = "49590338271490256608559692538361571095921575989136588898";
        let position: Position = sequence.parse()?;
        assert_eq!(position.to_string(), sequence);
        assert!("9".parse::<Position>()? < "10".parse()?);
        assert!(Position::new(u64::MAX) < position);
        assert_eq!("007".parse::<Position>()?, Position::new(7));
        assert_eq!("000".parse::<Position>()?, Position::default());
        let padded = format!("1{}", "0".repeat(38));
        assert_eq!(padded.parse::<Position>()?.to_string(), padded);
        Ok(())
    }

    #[test]
    fn a_cluster_s_partitions_have_a_topic_and_others_have_none() {
        let topic = |source: &str, partition: &str| {
            let (source, partition) = (source.to_owned(), partition.to_owned());
            SourcePartition { source, epoch: String::new(), partition }.topic().map(str::to_owned)
        };
        let msk = "arn:aws-cn:kafka:cn-north-1:111122223333:cluster/a/b";
        assert_eq!(topic(msk, "ad-clicks-0").as_deref(), Some("ad-clicks"));
        assert_eq!(topic("kafka://b-1:9092", "clicks-12").as_deref(), Some("clicks"));
        assert_eq!(topic("arn:aws:kinesis:us-east-1:1:stream/kafka", "shardId-000000000000"), None);
        assert_eq!(topic("file:///kafka/trips-1", "trips-1"), None);
    }

    #[test]
    fn a_text_that_is_no_position_is_refused() {
        for text in ["", "-1", "1.0", "12a", " 1"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError::NotANumber), "{text:?}");
        }
        assert_eq!("9".repeat(77).parse::<Position>(), Err(PositionError::TooLong));
        assert!("9".repeat(76).parse::<Position>().is_ok());
    }
}

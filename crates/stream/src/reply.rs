//! A function's answer, as its mapping reads it.

use std::borrow::Cow;

use tripline_model::json::{Cursor, JsonError, Kind, Limits};

use crate::event::name;
use crate::response::{BatchResponse, ItemIdentifier};

/// A function's answer to one batch, as its event source mapping takes it (AWS Lambda:
/// "Configuring partial batch response with Kinesis Data Streams and Lambda", success and failure
/// conditions). Identifiers are a Kinesis mapping's sequence numbers as they stand, or a Kafka mapping's
/// [`FailedOffset`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<I = String> {
    /// The invocation failed: an error, a crash or a time-out.
    Error,
    /// An answer without a usable list of failures. To a mapping that reports batch item failures it
    /// means the whole batch.
    Unusable,
    /// An answer with these identifiers; none means success.
    Response(Vec<I>),
}

/// The first record of a topic-partition that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedOffset {
    /// `topic-partition`.
    pub partition: String,
    /// Its offset.
    pub offset: u64,
}

impl Reply<String> {
    /// Reads the answer of an invocation that did not fail.
    ///
    /// Nothing, `null`, an object without `batchItemFailures`, and a null or empty list are success.
    /// An identifier that is empty, null, no text or under another name spoils the answer; so does,
    /// by choice, an answer that is no object, on which the documentation is silent.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        Self::read_with(body, sequence_number)
    }
}

impl Reply<FailedOffset> {
    /// As [`Reply::read`], for a Kafka mapping: an identifier that is no object with a partition and an offset
    /// spoils the answer.
    #[must_use]
    pub fn read_offsets(body: &[u8]) -> Self {
        Self::read_with(body, failed_offset)
    }

    /// A response that was not written yet.
    #[must_use]
    pub fn offsets_of(response: &BatchResponse) -> Self {
        let offset = |item: &ItemIdentifier| match item {
            ItemIdentifier::Offset { partition, offset } => {
                Some(FailedOffset { partition: partition.clone(), offset: *offset })
            }
            ItemIdentifier::SequenceNumber(_) => None,
        };
        let offsets: Option<Vec<_>> = response.failures.iter().map(|failure| offset(&failure.item)).collect();
        offsets.map_or(Self::Unusable, Self::Response)
    }
}

/// Reads an identifier, which the cursor stands before; `None` where it is not usable.
type Read<I> = fn(&mut Cursor<'_>) -> Result<Option<I>, JsonError>;

impl<I> Reply<I> {
    fn read_with(body: &[u8], read: Read<I>) -> Self {
        if body.trim_ascii().is_empty() {
            return Self::Response(Vec::new());
        }
        match identifiers(body, read) {
            Ok(Some(identifiers)) => Self::Response(identifiers),
            Ok(None) | Err(_) => Self::Unusable,
        }
    }
}

fn sequence_number(cursor: &mut Cursor<'_>) -> Result<Option<String>, JsonError> {
    Ok(cursor.value()?.text().filter(|text| !text.is_empty()).map(Cow::into_owned))
}

fn failed_offset(cursor: &mut Cursor<'_>) -> Result<Option<FailedOffset>, JsonError> {
    if cursor.peek()? != Kind::Object {
        cursor.value()?;
        return Ok(None);
    }
    cursor.enter_object()?;
    let (mut partition, mut offset) = (None, None);
    while let Some(key) = cursor.next_key()? {
        let value = cursor.value()?;
        match name(&key).as_ref() {
            b"partition" => partition = value.text().map(Cow::into_owned),
            b"offset" => offset = str::from_utf8(value.raw).ok().and_then(|digits| digits.parse().ok()),
            _ => {}
        }
    }
    Ok(partition.zip(offset).map(|(partition, offset)| FailedOffset { partition, offset }))
}

impl From<&BatchResponse> for Reply<String> {
    fn from(response: &BatchResponse) -> Self {
        let identifier = |item: &ItemIdentifier| match item {
            ItemIdentifier::SequenceNumber(sequence) => Some(sequence.to_string()),
            ItemIdentifier::Offset { .. } => None,
        };
        let identifiers: Option<Vec<String>> =
            response.failures.iter().map(|failure| identifier(&failure.item)).collect();
        identifiers.map_or(Self::Unusable, Self::Response)
    }
}

/// The identifiers in an answer; `None` where it is not usable.
fn identifiers<I>(body: &[u8], read: Read<I>) -> Result<Option<Vec<I>>, JsonError> {
    let mut cursor = Cursor::new(body, &Limits::default())?;
    let mut identifiers = Some(Vec::new());
    match cursor.peek()? {
        Kind::Object => cursor.enter_object()?,
        Kind::Null => {
            cursor.finish()?;
            return Ok(identifiers);
        }
        _ => return Ok(None),
    }
    while let Some(key) = cursor.next_key()? {
        if name(&key).as_ref() != b"batchItemFailures" {
            continue;
        }
        identifiers = match cursor.peek()? {
            Kind::Null => Some(Vec::new()),
            Kind::Array => failures(&mut cursor, read)?,
            _ => None,
        };
    }
    cursor.finish()?;
    Ok(identifiers)
}

fn failures<I>(cursor: &mut Cursor<'_>, read: Read<I>) -> Result<Option<Vec<I>>, JsonError> {
    let mut identifiers = Some(Vec::new());
    cursor.enter_array()?;
    while cursor.next_element()? {
        let mut identifier = None;
        if cursor.peek()? == Kind::Object {
            cursor.enter_object()?;
            while let Some(key) = cursor.next_key()? {
                if name(&key).as_ref() == b"itemIdentifier" {
                    identifier = read(cursor)?;
                }
            }
        }
        match (identifier, &mut identifiers) {
            (Some(identifier), Some(identifiers)) => identifiers.push(identifier),
            _ => identifiers = None,
        }
    }
    Ok(identifiers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::BatchItemFailure;

    #[test]
    fn what_names_no_failure_is_success() {
        let answers = [
            "",
            " \n",
            "null",
            "{}",
            r#"{"statusCode":200}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"batchItemFailures":[]}"#,
        ];
        for answer in answers {
            assert_eq!(Reply::read(answer.as_bytes()), Reply::Response(Vec::new()), "{answer}");
        }
    }

    #[test]
    fn sequence_numbers_are_read_as_they_stand() {
        let answer = br#"{"batchItemFailures":[{"itemIdentifier":"9"},{"item\u0049dentifier":"1\u0030"}]}"#;
        assert_eq!(Reply::read(answer), Reply::Response(vec!["9".to_owned(), "10".to_owned()]));
    }

    #[test]
    fn an_identifier_of_the_wrong_form_spoils_the_answer() {
        for item in
            [r#"{"itemIdentifier":""}"#, r#"{"itemIdentifier":null}"#, r#"{"id":"9"}"#, "{}", "9", "null"]
        {
            let answer = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"8"}},{item}]}}"#);
            assert_eq!(Reply::read(answer.as_bytes()), Reply::Unusable, "{answer}");
        }
        let kafka = r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"t-0","offset":1}}]}"#;
        for answer in [kafka, r#"{"batchItemFailures":{}}"#, "[]", "\"ok\"", "{", "nul"] {
            assert_eq!(Reply::read(answer.as_bytes()), Reply::Unusable, "{answer}");
        }
    }

    #[test]
    fn a_response_reads_as_what_it_is_written_as() -> Result<(), Box<dyn std::error::Error>> {
        let item = ItemIdentifier::SequenceNumber("4959033827".parse()?);
        let failed = BatchResponse { failures: vec![BatchItemFailure { item }] };
        let responses = [BatchResponse::success(), failed];
        for response in &responses {
            assert_eq!(Reply::read(&serde_json::to_vec(response)?), Reply::from(response));
        }
        Ok(())
    }
}

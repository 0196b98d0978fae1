//! Partition values and paths of the lake, in Hive's layout.
//!
//! A text becomes a slug ([`slug`]), unless the pipeline's `slugs` gives another value for it. Integers
//! and booleans stand as they are; parts of the event time are padded with zeros. What Hive would
//! escape is escaped ([`escape`]). Null, and a text of which no slug is left, is [`NULL`], as in Hive.
//! A value longer than [`VALUE_BYTES`] is cut and ends in a hash of the whole.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

use crate::batch::LakePartition;
use crate::pipeline::{PartitionKey, PartitionSource, TimePart};
use crate::time::Civil;

/// The value that readers of Hive's layout take as null.
pub const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Longest partition value in bytes, escapes included.
pub const VALUE_BYTES: usize = 128;

/// `Staten Island` → `staten-island`: lower case, and one `-` for each run of characters other than
/// letters and digits, none at the ends.
///
/// Letters and digits of every script are kept, in UTF-8, as Hive keeps them: `São Paulo` →
/// `são-paulo`. Dropping them would make one partition of most names in Greek or Chinese.
#[must_use]
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() {
            slug.extend(character.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    if slug.ends_with('-') {
        slug.pop();
    }
    slug
}

/// Escapes what Hive escapes in a partition value, as `%` and two upper-case hexadecimal digits:
/// control characters and `"#%'*/:=?\{[]^`.
#[must_use]
pub fn escape(value: &str) -> Cow<'_, str> {
    let special = |character: char| character.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(character);
    if !value.contains(special) {
        return Cow::Borrowed(value);
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for character in value.chars() {
        if special(character) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{:02X}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// The value of a text, as it stands in a path.
#[must_use]
pub fn text_value(key: &PartitionKey, text: &str) -> String {
    let value = key.slugs.get(text).map_or_else(|| slug(text), Clone::clone);
    if value.is_empty() {
        return NULL.to_owned();
    }
    let escaped = escape(&value);
    if escaped.len() <= VALUE_BYTES {
        return escaped.into_owned();
    }
    // Characters are escaped one by one so that neither one nor its escape is cut in two.
    let mut cut = String::with_capacity(VALUE_BYTES);
    for character in value.chars() {
        let mut buffer = [0; 4];
        let piece = escape(character.encode_utf8(&mut buffer));
        if cut.len() + piece.len() + 17 > VALUE_BYTES {
            break;
        }
        cut.push_str(&piece);
    }
    let _ = write!(cut, "-{:016x}", xxh3_64(value.as_bytes()));
    cut
}

/// A row's value for a partition key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(&'a str),
    /// A text with its number: equal texts of one key have equal numbers.
    Numbered(u32, &'a str),
}

/// Finds the partitions of rows. A partition met before costs no allocation.
#[derive(Debug)]
pub(crate) struct Partitioner<'p> {
    keys: &'p [PartitionKey],
    /// Length of the time within which partitions do not differ by time; `None` if none is by time.
    time_unit_ms: Option<i64>,
    partitions: Vec<LakePartition>,
    by_path: HashMap<String, u16>,
    by_parts: HashMap<Box<[u64]>, u16>,
    /// Numbers of the texts met, by key.
    texts: Vec<HashMap<Box<str>, u64>>,
    /// The row at hand, in numbers, and the one before with its partition: rows come in runs.
    parts: Vec<u64>,
    last: Vec<u64>,
    last_partition: Option<u16>,
}

impl<'p> Partitioner<'p> {
    pub(crate) fn new(keys: &'p [PartitionKey]) -> Self {
        let by = |wanted: fn(TimePart) -> bool| {
            keys.iter().any(|key| matches!(key.source, PartitionSource::Time(part) if wanted(part)))
        };
        let time_unit_ms = match () {
            () if by(|part| part == TimePart::Hour) => Some(3_600_000),
            () if by(|_| true) => Some(86_400_000),
            () => None,
        };
        Self {
            keys,
            time_unit_ms,
            partitions: Vec::new(),
            by_path: HashMap::new(),
            by_parts: HashMap::new(),
            texts: keys.iter().map(|_| HashMap::new()).collect(),
            parts: Vec::new(),
            last: Vec::new(),
            last_partition: None,
        }
    }

    /// The partitions met, each once.
    pub(crate) fn into_partitions(self) -> Vec<LakePartition> {
        self.partitions
    }

    /// The index of the partition of a row with the event time `ms`, whose value for a key is `part`.
    /// `None` if there are as many partitions as there can be.
    pub(crate) fn locate<'a>(&mut self, ms: i64, part: impl Fn(&PartitionSource) -> Part<'a>) -> Option<u16> {
        self.parts.clear();
        self.parts.extend(self.time_unit_ms.map(|unit| ms.div_euclid(unit).cast_unsigned()));
        for (key, texts) in self.keys.iter().zip(&mut self.texts) {
            if matches!(key.source, PartitionSource::Time(_)) {
                continue;
            }
            let (tag, number) = match part(&key.source) {
                Part::Null => (0, 0),
                Part::Bool(value) => (1, u64::from(value)),
                Part::Integer(value) => (1, value.cast_unsigned()),
                Part::Numbered(number, _) => (1, u64::from(number)),
                Part::Text(text) => (1, number_of(texts, text)),
            };
            self.parts.extend([tag, number]);
        }
        if let Some(partition) = self.last_partition.filter(|_| self.parts == self.last) {
            return Some(partition);
        }
        let partition = match self.by_parts.get(self.parts.as_slice()) {
            Some(&partition) => partition,
            None => {
                let partition = self.enter(&self.path(ms, part))?;
                self.by_parts.insert(self.parts.as_slice().into(), partition);
                partition
            }
        };
        self.last.clone_from(&self.parts);
        self.last_partition = Some(partition);
        Some(partition)
    }

    /// Different parts may come to one path, as `N/A` and `n-a` do.
    fn enter(&mut self, path: &str) -> Option<u16> {
        if let Some(&partition) = self.by_path.get(path) {
            return Some(partition);
        }
        let partition = u16::try_from(self.partitions.len()).ok()?;
        self.partitions.push(LakePartition { path: path.to_owned() });
        self.by_path.insert(path.to_owned(), partition);
        Some(partition)
    }

    fn path<'a>(&self, ms: i64, part: impl Fn(&PartitionSource) -> Part<'a>) -> String {
        let time = Civil::from_ms(ms);
        let mut path = String::new();
        for key in self.keys {
            if !path.is_empty() {
                path.push('/');
            }
            let name = &key.name;
            let _ = match key.source {
                PartitionSource::Time(TimePart::Year) => write!(path, "{name}={:04}", time.year),
                PartitionSource::Time(TimePart::Month) => write!(path, "{name}={:02}", time.month),
                PartitionSource::Time(TimePart::Day) => write!(path, "{name}={:02}", time.day),
                PartitionSource::Time(TimePart::Hour) => write!(path, "{name}={:02}", time.hour),
                PartitionSource::Field(_) | PartitionSource::Derived(_) => {
                    let value = match part(&key.source) {
                        Part::Null => NULL.to_owned(),
                        Part::Bool(value) => value.to_string(),
                        Part::Integer(value) => {
                            let value = value.to_string();
                            key.slugs.get(&value).map_or(value, |slug| escape(slug).into_owned())
                        }
                        Part::Text(text) | Part::Numbered(_, text) => text_value(key, text),
                    };
                    write!(path, "{name}={value}")
                }
            };
        }
        path
    }
}

fn number_of(texts: &mut HashMap<Box<str>, u64>, text: &str) -> u64 {
    if let Some(&number) = texts.get(text) {
        return number;
    }
    let number = texts.len() as u64;
    texts.insert(text.into(), number);
    number
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(name: &str, source: PartitionSource, slugs: &[(&str, &str)]) -> PartitionKey {
        let slugs: BTreeMap<_, _> =
            slugs.iter().map(|(text, slug)| ((*text).to_owned(), (*slug).to_owned())).collect();
        PartitionKey { name: name.to_owned(), source, slugs }
    }

    #[test]
    fn slugs_are_lower_case_words_joined_by_dashes() {
        for (text, expected) in [
            ("Staten Island", "staten-island"),
            ("EWR", "ewr"),
            ("N/A", "n-a"),
            ("  --Jamaica   Bay!! ", "jamaica-bay"),
            ("São Paulo", "são-paulo"),
            ("Αθήνα 2", "αθήνα-2"),
            ("???", ""),
            ("", ""),
        ] {
            assert_eq!(slug(text), expected, "{text:?}");
        }
    }

    #[test]
    fn escapes_are_those_of_hive() {
        assert_eq!(escape("a b-c_d.é"), "a b-c_d.é");
        assert_eq!(escape("a/b=c%\n\u{7f}"), "a%2Fb%3Dc%25%0A%7F");
        assert_eq!(escape("\"#'*:?\\{[]^"), "%22%23%27%2A%3A%3F%5C%7B%5B%5D%5E");
    }

    #[test]
    fn a_slug_of_the_pipeline_goes_first_and_is_escaped() {
        let key = key("city", PartitionSource::Field(0), &[("N/A", "outside/nyc")]);
        assert_eq!(text_value(&key, "N/A"), "outside%2Fnyc");
        assert_eq!(text_value(&key, "n/a"), "n-a");
        assert_eq!(text_value(&key, "?"), NULL);
    }

    #[test]
    fn one_partition_is_named_once_whatever_led_to_it() {
        let keys = [
            key("city", PartitionSource::Field(0), &[]),
            key("flag", PartitionSource::Field(1), &[]),
            key("code", PartitionSource::Derived(0), &[]),
            key("year", PartitionSource::Time(TimePart::Year), &[]),
            key("month", PartitionSource::Time(TimePart::Month), &[]),
        ];
        let mut partitioner = Partitioner::new(&keys);
        let mut locate = |ms, city: Option<&'static str>, code| {
            partitioner.locate(ms, move |source| match source {
                PartitionSource::Field(0) => city.map_or(Part::Null, Part::Text),
                PartitionSource::Field(_) => Part::Bool(true),
                _ => Part::Integer(code),
            })
        };
        assert_eq!(locate(0, Some("New York"), -5), Some(0));
        assert_eq!(locate(86_400_000, Some("new-york"), -5), Some(0));
        assert_eq!(locate(-1, Some("New York"), -5), Some(1));
        assert_eq!(locate(0, None, 0), Some(2));
        assert_eq!(locate(0, Some("New York"), -5), Some(0));
        let paths: Vec<String> =
            partitioner.into_partitions().into_iter().map(|partition| partition.path).collect();
        let expected = [
            "city=new-york/flag=true/code=-5/year=1970/month=01",
            "city=new-york/flag=true/code=-5/year=1969/month=12",
            "city=__HIVE_DEFAULT_PARTITION__/flag=true/code=0/year=1970/month=01",
        ];
        assert_eq!(paths, expected);
    }

    proptest! {
        #[test]
        fn any_text_makes_one_safe_folder_name(text in prop_oneof![any::<String>(), "[a-zA-Zé/ ]{0,300}"]) {
            let value = text_value(&key("k", PartitionSource::Field(0), &[]), &text);
            prop_assert!(!value.is_empty() && value.len() <= VALUE_BYTES);
            prop_assert!(!value.contains(['/', '=', ' ', '%']) && !value.contains(char::is_control));
        }

        #[test]
        fn long_values_stay_distinct(text in "[a-z]{200,300}") {
            let key = key("k", PartitionSource::Field(0), &[]);
            prop_assert_ne!(text_value(&key, &text), text_value(&key, &format!("{text}x")));
            prop_assert_eq!(text_value(&key, &text).len(), VALUE_BYTES);
        }
    }
}

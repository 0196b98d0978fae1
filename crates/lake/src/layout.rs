//! Where things lie below a lake's prefix.
//!
//! ```text
//! _tripline/identity.json          whose lake this is
//! _tripline/schemas.json           the versions of its columns
//! _tripline/checkpoint.json        what has been published
//! _tripline/redrive/<number>       redrives of dead letters, numbered 1, 2, 3…
//! _journal/<lane>/<number>         journal entries, numbered 1, 2, 3…
//! <event type>/<partition>/…       the tables, one root each
//! <event type>/<partition>/_SUCCESS  the partition is complete
//! <event type>_late/<partition>/…  rows that came after it was, where they are diverted
//! dead_letter/<partition>/…
//! ```
//! Names that begin with an underscore are skipped by Hive-style readers, and nothing outside the
//! table roots ends in `.parquet`.

/// Object that says which pipeline a lake belongs to.
pub const IDENTITY: &str = "_tripline/identity.json";
/// Object that holds the versions of the pipeline's columns that have been at work.
pub const SCHEMAS: &str = "_tripline/schemas.json";
/// Object that holds the publish checkpoint.
pub const CHECKPOINT: &str = "_tripline/checkpoint.json";
/// Folder of all redrives.
pub const REDRIVE: &str = "_tripline/redrive/";
/// Folder of all lanes.
pub const JOURNAL: &str = "_journal/";

/// Decimal digits of an entry's number: every `u64` fits, so that names sort as numbers do.
const NUMBER_DIGITS: usize = 20;

/// Folder of a lane's entries, ending in a slash.
#[must_use]
pub fn lane_prefix(folder: &str) -> String {
    format!("{JOURNAL}{folder}/")
}

/// Key of a lane's entry.
#[must_use]
pub fn entry_key(folder: &str, number: u64) -> String {
    format!("{JOURNAL}{folder}/{number:0width$}", width = NUMBER_DIGITS)
}

/// Key of a redrive.
#[must_use]
pub fn redrive_key(number: u64) -> String {
    format!("{REDRIVE}{number:0width$}", width = NUMBER_DIGITS)
}

/// The number in an entry's key; `None` for anything else.
#[must_use]
pub fn entry_number(key: &str) -> Option<u64> {
    let (_, name) = key.rsplit_once('/')?;
    if name.len() == NUMBER_DIGITS && name.bytes().all(|byte| byte.is_ascii_digit()) {
        name.parse().ok()
    } else {
        None
    }
}

/// Key of a published file. The run's id makes it unique; the extension is the format's.
#[must_use]
pub fn file_key(
    table: &str,
    partition: &str,
    generation: u64,
    run: &str,
    index: usize,
    extension: &str,
) -> String {
    let separator = if partition.is_empty() { "" } else { "/" };
    format!("{table}/{partition}{separator}part-{generation:010}-{run}-{index:05}.{extension}")
}

/// Name of the object that says that a partition is complete.
pub const SUCCESS: &str = "_SUCCESS";

/// Key of the object that says that a partition, one below its table's root, is complete.
#[must_use]
pub fn success_key(table: &str, partition: &str) -> String {
    format!("{table}/{partition}/{SUCCESS}")
}

/// The checkpoint generation in a published file's key.
#[must_use]
pub fn file_generation(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?;
    is_published_name(name).then(|| name.split('-').nth(1)?.parse().ok()).flatten()
}

/// Whether a file name, without its folder, is one that [`file_key`] makes.
#[must_use]
pub fn is_published_name(name: &str) -> bool {
    let Some((stem, _)) = name.split_once('.') else { return false };
    let mut parts = stem.split('-');
    let digits = |part: Option<&str>, length| {
        part.is_some_and(|part| part.len() >= length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    parts.next() == Some("part")
        && digits(parts.next(), 10)
        && digits(parts.next(), 16)
        && digits(parts.next(), 5)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_names_sort_as_their_numbers_do() {
        let mut keys: Vec<String> =
            [1, 2, 9, 10, 11, 99, 100, u64::MAX].iter().map(|&n| entry_key("lane", n)).collect();
        let sorted = keys.clone();
        keys.sort();
        assert_eq!(keys, sorted);
        assert_eq!(keys.first().and_then(|key| entry_number(key)), Some(1));
        assert_eq!(keys.last().and_then(|key| entry_number(key)), Some(u64::MAX));
    }

    #[test]
    fn a_published_file_is_known_by_its_name() {
        let key = file_key("trip", "hour=01", 7, "0123456789abcdef", 3, "json.gz");
        assert_eq!(key, "trip/hour=01/part-0000000007-0123456789abcdef-00003.json.gz");
        assert!(is_published_name("part-0000000007-0123456789abcdef-00003.json.gz"));
        assert_eq!(file_generation(&key), Some(7));
        assert_eq!(file_generation("trip/hour=01/part-7.json.gz"), None);
        for name in ["part-00000.json.gz", "part-0-abc-1.parquet", "data.json.gz", "part"] {
            assert!(!is_published_name(name), "{name}");
        }
    }

    #[test]
    fn a_key_that_is_no_entry_has_no_number() {
        for key in [
            "_journal/lane/1",
            "_journal/lane/0000000000000000000x",
            "00000000000000000001",
            "_journal/lane/",
        ] {
            assert_eq!(entry_number(key), None, "{key}");
        }
    }
}

//! What is wrong with a pipeline folder, all of it at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was found from the folder that was asked for.
    pub file: PathBuf,
    /// Line and column, both from 1, the column in characters; `None` where the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    /// Path of the key, such as `events.trip.fields[3].type`; empty where no key is meant.
    pub key: String,
    /// What is wrong and what to do about it.
    pub reason: String,
}

impl fmt::Display for Fault {
    /// `pipelines/taxi/pipeline.toml:12:5: events.trip.fields[3].type: no such type …`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(formatter, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// A pipeline that cannot be used: every fault found, in order of file and place. Printed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineError {
    /// What is wrong; never empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for PipelineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PipelineError {}

/// Collects the faults of one file.
#[derive(Debug)]
pub(super) struct Faults<'t> {
    file: &'t Path,
    text: &'t str,
    pub(super) found: Vec<Fault>,
}

impl<'t> Faults<'t> {
    pub(super) const fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a fault of `key` at byte `offset` of the file.
    pub(super) fn add(&mut self, offset: usize, key: impl Into<String>, reason: impl Into<String>) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        self.found.push(Fault {
            file: self.file.to_owned(),
            place: Some((line, column)),
            key: key.into(),
            reason: reason.into(),
        });
    }
}

/// Joins names for an error message: `a, b and c`.
pub(super) fn listed<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match names.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// `; did you mean …?` if one of `known` is near to `name`, else the list of what there is.
pub(super) fn suggestion<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> String {
    let known: Vec<S> = known.into_iter().collect();
    let nearest = known
        .iter()
        .map(|candidate| (distance(name, candidate.as_ref()), candidate.as_ref()))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()) / 3);
    match nearest {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None => format!("there is {}", listed(&known)),
    }
}

/// How many characters must be added, dropped or replaced to make `left` of `right`, case apart.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, character) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (other, above) in right.iter().zip(row.iter().skip(1)) {
            before = (diagonal + usize::from(character != *other)).min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Same", "same"), 0);
        assert_eq!(suggestion("event_tine", ["event_time", "id"]), "did you mean `event_time`?");
        assert_eq!(suggestion("colour", ["event_time", "id", "x"]), "there is `event_time`, `id` and `x`");
        assert_eq!(suggestion("colour", [""; 0]), "there is none");
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let mut faults = Faults::new(Path::new("p.toml"), "a\néé = 1\n");
        faults.add(7, "k", "why");
        faults.add(999, "", "end");
        let lines: Vec<String> = faults.found.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["p.toml:2:4: k: why", "p.toml:3:1: end"]);
    }
}

//! What is to be made up: the file `generate.toml` of a pipeline's folder.
//!
//! ```toml
//! [impressions]                                       # an event type
//! weight = 3                                          # three of these for each of a type of weight 1, the default
//!
//! [impressions.fields]                                # its members, in order; each by one of these
//! source = { constant = "web" }
//! colour = { one_of = ["red", "teal"], weights = [1, 9] }
//! seats = { integer = [1, 6] }                        # both ends can come
//! price = { number = [1, 5], decimals = 2 }
//! fare = { normal = [12, 8], min = 2.5, max = 200, decimals = 2 }  # mean, standard deviation
//! bid_id = { pattern = "[0-9]{9}[0-9X]" }             # letters, sets of them, each so often
//! trip_id = { sequence = 1 }                          # 1, 2, 3…
//! shown_at = { time = [-5, 0] }                       # seconds from the generator's clock
//! left_at = { after = "shown_at", seconds = [60, 3600] }
//! country = { column = "countries.csv:country_code" } # any value of a CSV file's column
//! seen = { matching = "impressions.bid_id", rate = 0.8, otherwise = "NA" } # of an event before
//! note = { pattern = "[a-z]{8}", null_rate = 0.1 }    # left out so often
//! ```

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// An event type to make up.
#[derive(Clone, Debug)]
pub(super) struct TypePlan {
    /// Its value in the pipeline's type field.
    pub(super) name: String,
    pub(super) weight: u64,
    /// In the order of the members.
    pub(super) fields: Vec<FieldPlan>,
}

/// A member to make up.
#[derive(Clone, Debug)]
pub(super) struct FieldPlan {
    pub(super) name: String,
    /// How often it is left out.
    pub(super) null_rate: f64,
    pub(super) rule: Rule,
}

/// How a member's value is made up.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Constant(Value),
    /// A value, and the sum of the weights up to and with its own.
    OneOf(Vec<(Value, u64)>),
    Integer(i64, i64),
    Number {
        from: f64,
        to: f64,
        decimals: u32,
    },
    Normal {
        mean: f64,
        deviation: f64,
        least: f64,
        most: f64,
        decimals: u32,
    },
    /// Characters to choose among, and how many of them.
    Pattern(Vec<(Vec<char>, u32)>),
    Sequence(u64),
    /// Milliseconds from the clock.
    Time(i64, i64),
    /// Milliseconds from another member, by its index.
    After(usize, i64, i64),
    Column(Vec<String>),
    /// An event type and a member of it, by their indices.
    Matching {
        event: usize,
        field: usize,
        rate: f64,
        otherwise: Value,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeText {
    #[serde(default = "one")]
    weight: u64,
    fields: toml::Table,
}

const fn one() -> u64 {
    1
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    constant: Option<toml::Value>,
    one_of: Option<Vec<toml::Value>>,
    weights: Option<Vec<u64>>,
    integer: Option<[i64; 2]>,
    number: Option<[f64; 2]>,
    normal: Option<[f64; 2]>,
    min: Option<f64>,
    max: Option<f64>,
    decimals: Option<u32>,
    pattern: Option<String>,
    sequence: Option<u64>,
    time: Option<[f64; 2]>,
    after: Option<String>,
    seconds: Option<[f64; 2]>,
    column: Option<String>,
    matching: Option<String>,
    rate: Option<f64>,
    otherwise: Option<toml::Value>,
    null_rate: Option<f64>,
}

/// Reads the plan in a pipeline's folder.
///
/// # Errors
/// When there is none, or it is wrong: where, and what is wanted.
pub(super) fn load(folder: &Path) -> anyhow::Result<Vec<TypePlan>> {
    let file = folder.join("generate.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}, which says what to make up", file.display()))?;
    read(&text, folder).with_context(|| file.display().to_string())
}

fn read(text: &str, folder: &Path) -> anyhow::Result<Vec<TypePlan>> {
    let types: toml::Table = toml::from_str(text)?;
    let mut texts = Vec::new();
    for (name, value) in types {
        let TypeText { weight, fields } = value.try_into().with_context(|| name.clone())?;
        let mut members = Vec::new();
        for (field, value) in fields {
            let text: FieldText = value.try_into().with_context(|| format!("{name}.fields.{field}"))?;
            members.push((field, text));
        }
        texts.push((name, weight, members));
    }
    ensure!(texts.iter().any(|(_, weight, _)| *weight > 0), "there is no event type with a weight above 0");
    let names: Names = texts
        .iter()
        .map(|(name, _, members)| (name.as_str(), members.iter().map(|(field, _)| field.as_str()).collect()))
        .collect();
    let plan_of = |(name, weight, members): &(String, u64, Vec<(String, FieldText)>)| {
        let own: Vec<&str> = members.iter().map(|(field, _)| field.as_str()).collect();
        let fields = members.iter().enumerate().map(|(index, (field, text))| {
            let place = || format!("{name}.fields.{field}");
            let before = own.get(..index).unwrap_or_default();
            let rule = text.rule(before, &names, folder).with_context(place)?;
            let null_rate = text.null_rate.unwrap_or(0.0);
            ensure!((0.0..=1.0).contains(&null_rate), "{}: a null_rate is 0 to 1", place());
            Ok(FieldPlan { name: field.clone(), null_rate, rule })
        });
        Ok(TypePlan { name: name.clone(), weight: *weight, fields: fields.collect::<anyhow::Result<_>>()? })
    };
    texts.iter().map(plan_of).collect()
}

/// Event types and their members, in order.
type Names<'n> = Vec<(&'n str, Vec<&'n str>)>;

impl FieldText {
    fn rule(&self, before: &[&str], names: &Names<'_>, folder: &Path) -> anyhow::Result<Rule> {
        let mut rules = Vec::new();
        if let Some(value) = &self.constant {
            rules.push(Rule::Constant(json(value)?));
        }
        if let Some(values) = &self.one_of {
            rules.push(self.one_of(values)?);
        }
        if let Some([from, to]) = self.integer {
            ensure!(from <= to, "integer = [least, most]");
            rules.push(Rule::Integer(from, to));
        }
        let decimals = self.decimals.unwrap_or(2).min(15);
        if let Some([from, to]) = self.number {
            ensure!(from <= to, "number = [least, most]");
            rules.push(Rule::Number { from, to, decimals });
        }
        if let Some([mean, deviation]) = self.normal {
            let (least, most) = (self.min.unwrap_or(f64::MIN), self.max.unwrap_or(f64::MAX));
            ensure!(least <= most && deviation >= 0.0, "normal = [mean, deviation], with min below max");
            rules.push(Rule::Normal { mean, deviation, least, most, decimals });
        }
        if let Some(pattern) = &self.pattern {
            rules.push(Rule::Pattern(parse_pattern(pattern)?));
        }
        if let Some(first) = self.sequence {
            rules.push(Rule::Sequence(first));
        }
        if let Some(seconds) = self.time {
            let (from, to) = milliseconds(seconds)?;
            rules.push(Rule::Time(from, to));
        }
        if let Some(other) = &self.after {
            let index = before.iter().position(|name| name == other);
            let index = index.with_context(|| format!("after: there is no member {other:?} before it"))?;
            let (from, to) = milliseconds(self.seconds.unwrap_or([0.0, 0.0]))?;
            rules.push(Rule::After(index, from, to));
        }
        if let Some(column) = &self.column {
            rules.push(Rule::Column(values_of(folder, column)?));
        }
        if let Some(other) = &self.matching {
            rules.push(self.matching(other, names)?);
        }
        match rules.len() {
            1 => rules.pop().context("there is no rule"),
            _ => bail!(
                "one of constant, one_of, integer, number, normal, pattern, sequence, time, after, column and matching is wanted"
            ),
        }
    }

    fn one_of(&self, values: &[toml::Value]) -> anyhow::Result<Rule> {
        ensure!(!values.is_empty(), "one_of has no values");
        let even = vec![1; values.len()];
        let weights = self.weights.as_ref().unwrap_or(&even);
        ensure!(
            weights.len() == values.len(),
            "weights has {} where {} are wanted",
            weights.len(),
            values.len()
        );
        let mut sum = 0_u64;
        let mut choices = Vec::new();
        for (value, weight) in values.iter().zip(weights) {
            sum = sum.checked_add(*weight).context("the weights are too large")?;
            choices.push((json(value)?, sum));
        }
        ensure!(sum > 0, "every weight is 0");
        Ok(Rule::OneOf(choices))
    }

    fn matching(&self, other: &str, names: &Names<'_>) -> anyhow::Result<Rule> {
        let wanted = || format!("matching = \"type.member\", and there is no {other:?}");
        let (event, field) = other.split_once('.').with_context(wanted)?;
        let index = names.iter().position(|(name, _)| *name == event).with_context(wanted)?;
        let fields = names.get(index).map(|(_, fields)| fields.as_slice()).unwrap_or_default();
        let field = fields.iter().position(|name| *name == field).with_context(wanted)?;
        let rate = self.rate.unwrap_or(1.0);
        ensure!((0.0..=1.0).contains(&rate), "a rate is 0 to 1");
        let otherwise = self.otherwise.as_ref().map_or(Ok(Value::Null), json)?;
        Ok(Rule::Matching { event: index, field, rate, otherwise })
    }
}

fn json(value: &toml::Value) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(value)?)
}

fn milliseconds([from, to]: [f64; 2]) -> anyhow::Result<(i64, i64)> {
    const MOST: f64 = 1e11;
    ensure!(from <= to && from.abs() <= MOST && to.abs() <= MOST, "[least, most] in seconds is wanted");
    // Cut to whole milliseconds, of which an i64 holds more.
    Ok(((from * 1_000.0) as i64, (to * 1_000.0) as i64))
}

/// The values of `file.csv:column`, in the pipeline's folder.
fn values_of(folder: &Path, column: &str) -> anyhow::Result<Vec<String>> {
    let (file, name) = column.rsplit_once(':').context("column = \"file.csv:column\" is wanted")?;
    let mut table =
        csv::Reader::from_path(folder.join(file)).with_context(|| format!("cannot read {file}"))?;
    let index = table.headers()?.iter().position(|header| header == name);
    let index = index.with_context(|| format!("{file} has no column {name:?}"))?;
    let mut values = Vec::new();
    for row in table.records() {
        values.extend(row?.get(index).map(str::to_owned));
    }
    ensure!(!values.is_empty(), "{file} has no rows");
    Ok(values)
}

/// Reads a pattern: characters that stand for themselves and sets such as `[a-z0-9]`, each, if you like, with a
/// number of times such as `{8}`.
fn parse_pattern(pattern: &str) -> anyhow::Result<Vec<(Vec<char>, u32)>> {
    let mut parts: Vec<(Vec<char>, u32)> = Vec::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '[' => {
                let set: String = rest.by_ref().take_while(|next| *next != ']').collect();
                parts.push((members_of(&set)?, 1));
            }
            '{' => {
                let count: String = rest.by_ref().take_while(|next| *next != '}').collect();
                let count = count.parse().ok().filter(|count| (1..=10_000).contains(count));
                let (Some((_, times)), Some(count)) = (parts.last_mut(), count) else {
                    bail!(
                        "pattern {pattern:?}: {{n}} with n from 1 to 10000 comes after a character or a set"
                    );
                };
                *times = count;
            }
            other => parts.push((vec![other], 1)),
        }
    }
    Ok(parts)
}

fn members_of(set: &str) -> anyhow::Result<Vec<char>> {
    let characters: Vec<char> = set.chars().collect();
    let mut members = Vec::new();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [] => break,
            [from, '-', to, rest @ ..] if from <= to => {
                members.extend(*from..=*to);
                rest
            }
            [one, rest @ ..] => {
                members.push(*one);
                rest
            }
        };
    }
    ensure!(!members.is_empty(), "a set in a pattern, as in [a-z], has no characters");
    Ok(members)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of_text(text: &str) -> anyhow::Result<Vec<(String, usize)>> {
        Ok(read(text, Path::new("."))?.into_iter().map(|plan| (plan.name, plan.fields.len())).collect())
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("", "weight above 0"),
            ("[a.fields]\nx = { integer = [2, 1] }", "a.fields.x"),
            ("[a.fields]\nx = { integer = [1, 2], sequence = 1 }", "one of constant"),
            ("[a.fields]\nx = { intger = [1, 2] }", "unknown field `intger`"),
            ("[a.fields]\nx = { after = \"y\" }", "no member \"y\" before it"),
            ("[a.fields]\nx = { matching = \"b.y\" }", "no \"b.y\""),
            ("[a.fields]\nx = { pattern = \"{3}\" }", "comes after"),
            ("[a.fields]\nx = { one_of = [1], weights = [1, 2] }", "2 where 1"),
            ("[a.fields]\nx = { column = \"none.csv:a\" }", "none.csv"),
        ] {
            let error = format!("{:#}", of_text(text).unwrap_err());
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
        assert_eq!(of_text("[a.fields]\nx = { sequence = 1 }").unwrap(), [("a".to_owned(), 1)]);
    }

    #[test]
    fn patterns_are_characters_sets_and_times() {
        let parts = parse_pattern("a[0-9X]{3}-[a-c]").unwrap();
        let told: Vec<(String, u32)> =
            parts.into_iter().map(|(set, times)| (set.into_iter().collect(), times)).collect();
        let told: Vec<(&str, u32)> = told.iter().map(|(set, times)| (set.as_str(), *times)).collect();
        assert_eq!(told, [("a", 1), ("0123456789X", 3), ("-", 1), ("abc", 1)]);
    }
}

//! Makes events up.

use std::collections::VecDeque;

use serde_json::{Map, Number, Value};
use tripline_model::time;

use super::chance::Chance;
use super::plan::{Rule, TypePlan};

/// Makes events by their plans, one after the other.
pub(super) struct Maker {
    type_field: String,
    plans: Vec<TypePlan>,
    /// Sum of the weights.
    weights: u64,
    chance: Chance,
    /// How far each sequence is, by type and member.
    sequences: Vec<Vec<u64>>,
    /// The last events of each type, as the values of their members.
    made: Vec<VecDeque<Vec<Value>>>,
    history: usize,
    /// Whether events of a type are referred to.
    is_remembered: Vec<bool>,
}

impl Maker {
    pub(super) fn new(type_field: &str, plans: Vec<TypePlan>, seed: u64, history: usize) -> Self {
        let first = |rule: &Rule| if let Rule::Sequence(first) = rule { *first } else { 0 };
        let sequences = plans.iter().map(|plan| plan.fields.iter().map(|field| first(&field.rule)).collect());
        let is_referred_to = |index: usize| {
            let mut rules = plans.iter().flat_map(|plan| &plan.fields).map(|field| &field.rule);
            rules.any(|rule| matches!(rule, Rule::Matching { event, .. } if *event == index))
        };
        Self {
            type_field: type_field.to_owned(),
            weights: plans.iter().map(|plan| plan.weight).sum(),
            chance: Chance::new(seed),
            sequences: sequences.collect(),
            made: plans.iter().map(|_| VecDeque::new()).collect(),
            is_remembered: (0..plans.len()).map(is_referred_to).collect(),
            history,
            plans,
        }
    }

    /// The next event, at a time of the clock, milliseconds since 1970 UTC.
    pub(super) fn make(&mut self, now_ms: i64) -> Value {
        let mut drawn = self.chance.below(self.weights);
        let mut index = 0;
        for (number, plan) in self.plans.iter().enumerate() {
            index = number;
            if drawn < plan.weight {
                break;
            }
            drawn -= plan.weight;
        }
        let Some(plan) = self.plans.get(index) else { return Value::Null };
        let mut values: Vec<Value> = Vec::with_capacity(plan.fields.len());
        let mut times: Vec<Option<i64>> = Vec::with_capacity(plan.fields.len());
        for (number, field) in plan.fields.iter().enumerate() {
            let sequence = self.sequences.get_mut(index).and_then(|of_type| of_type.get_mut(number));
            let (value, time) = value(&field.rule, now_ms, &times, sequence, &self.made, &mut self.chance);
            // Drawn even where it is never: a rate that changes leaves the others as they are.
            let is_left_out = self.chance.share() < field.null_rate;
            values.push(if is_left_out { Value::Null } else { value });
            times.push(time);
        }
        let mut event = Map::new();
        event.insert(self.type_field.clone(), plan.name.clone().into());
        for (field, value) in plan.fields.iter().zip(&values).filter(|(_, value)| !value.is_null()) {
            event.insert(field.name.clone(), value.clone());
        }
        if let Some(made) = self.made.get_mut(index).filter(|_| self.is_remembered.get(index) == Some(&true))
        {
            if made.len() == self.history {
                made.pop_front();
            }
            made.push_back(values);
        }
        Value::Object(event)
    }
}

/// A value; and its time, where it is one.
fn value(
    rule: &Rule,
    now_ms: i64,
    times: &[Option<i64>],
    sequence: Option<&mut u64>,
    made: &[VecDeque<Vec<Value>>],
    chance: &mut Chance,
) -> (Value, Option<i64>) {
    let mut at = |base: i64, from: i64, to: i64| {
        let width = to.saturating_sub(from).unsigned_abs();
        let off =
            from.saturating_add(i64::try_from(chance.below(width.saturating_add(1))).unwrap_or_default());
        let ms = base.saturating_add(off);
        (time::rfc3339(ms).into(), Some(ms))
    };
    let value = match rule {
        Rule::Time(from, to) => return at(now_ms, *from, *to),
        Rule::After(other, from, to) => {
            return at(times.get(*other).copied().flatten().unwrap_or(now_ms), *from, *to);
        }
        Rule::Constant(value) => value.clone(),
        Rule::OneOf(choices) => {
            let drawn = chance.below(choices.last().map_or(0, |(_, sum)| *sum));
            let chosen = choices.iter().find(|(_, sum)| drawn < *sum);
            chosen.map_or(Value::Null, |(value, _)| value.clone())
        }
        Rule::Integer(from, to) => {
            let off = chance.below(to.abs_diff(*from).saturating_add(1));
            from.saturating_add_unsigned(off).into()
        }
        Rule::Number { from, to, decimals } => number(from + (to - from) * chance.share(), *decimals),
        Rule::Normal { mean, deviation, least, most, decimals } => {
            number((mean + deviation * chance.normal()).clamp(*least, *most), *decimals)
        }
        Rule::Pattern(parts) => {
            let mut text = String::new();
            for (characters, times) in parts {
                text.extend((0..*times).filter_map(|_| chance.one_of(characters).copied()));
            }
            text.into()
        }
        Rule::Sequence(_) => sequence.map_or(Value::Null, |next| {
            let value = *next;
            *next = next.wrapping_add(1);
            value.into()
        }),
        Rule::Column(values) => chance.one_of(values).map_or(Value::Null, |value| value.as_str().into()),
        Rule::Matching { event, field, rate, otherwise } => {
            let matches = chance.share() < *rate;
            let made = made.get(*event).filter(|made| matches && !made.is_empty());
            let index = made.map(|made| chance.below(made.len() as u64));
            let index = index.and_then(|index| usize::try_from(index).ok());
            let found = made.zip(index).and_then(|(made, index)| made.get(index)?.get(*field));
            found.filter(|value| !value.is_null()).unwrap_or(otherwise).clone()
        }
    };
    (value, None)
}

fn number(value: f64, decimals: u32) -> Value {
    let scale = 10_f64.powi(i32::try_from(decimals).unwrap_or(15));
    Number::from_f64((value * scale).round() / scale).map_or(Value::Null, Value::Number)
}

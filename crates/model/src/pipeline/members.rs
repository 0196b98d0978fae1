//! The members that any event type knows, numbered, so that a record is read before its type is known.

use std::collections::HashMap;

use super::Event;

/// Numbers the members that are known to any event type. Number 0 is the type member.
#[derive(Debug, Default)]
pub(crate) struct Members {
    names: Vec<String>,
    /// The names as a compact text spells them as keys, colon included; empty where that needs escapes.
    keys: Vec<String>,
    numbers: HashMap<String, usize>,
    /// For each event type, whether each member is a field of it, or known to it and not stored.
    known: Vec<Vec<bool>>,
}

impl Members {
    /// Number of the type member.
    pub(crate) const TYPE: usize = 0;

    pub(super) fn new(type_field: &str) -> Self {
        let mut members = Self::default();
        members.number(type_field);
        members
    }

    /// The number of `name`, given to it if it has none.
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len();
        let plain = name.chars().all(|character| !matches!(character, '"' | '\\' | '\0'..' '));
        self.keys.push(if plain { format!("\"{name}\":") } else { String::new() });
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Settles who knows which, after every number is given.
    pub(super) fn settle(&mut self, events: &[Event], ignored: &[Vec<usize>]) {
        let known_to = |(event, ignored): (&Event, &Vec<usize>)| {
            let mut known = vec![false; self.names.len()];
            let members = event.fields.iter().map(|field| field.member).chain(ignored.iter().copied());
            for member in members.chain([Self::TYPE]) {
                if let Some(known) = known.get_mut(member) {
                    *known = true;
                }
            }
            known
        };
        self.known = events.iter().zip(ignored).map(known_to).collect();
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of `name`.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The name of `member`.
    pub(crate) fn name(&self, member: usize) -> Option<&str> {
        self.names.get(member).map(String::as_str)
    }

    /// `member` as a key, see [`Cursor::next_key_is`](crate::json::Cursor::next_key_is).
    pub(crate) fn key(&self, member: usize) -> &[u8] {
        self.keys.get(member).map(String::as_bytes).unwrap_or_default()
    }

    /// Whether the event type with the index `event` knows a member, by the member's number.
    pub(crate) fn known_to(&self, event: usize) -> &[bool] {
        self.known.get(event).map(Vec::as_slice).unwrap_or_default()
    }
}

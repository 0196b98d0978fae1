//! One pass over a record: where each known member's value stands.

use std::borrow::Cow;
use std::collections::HashSet;

use super::reason::{Reason, Refusal};
use crate::json::{Cursor, Decimal, Kind, Limits, Scalar, Value};
use crate::pipeline::{self, Members};

/// A value's place in the payload, and what it is if it is a short number. No borrow, so that its memory
/// serves record after record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    kind: Kind,
    start: usize,
    end: usize,
    number: Option<Decimal>,
}

impl Span {
    #[inline]
    const fn new(value: &Value<'_>, end: usize) -> Self {
        Self { kind: value.kind, start: end.saturating_sub(value.raw.len()), end, number: None }
    }

    fn value<'r>(&self, payload: &'r [u8]) -> Value<'r> {
        Value { kind: self.kind, raw: payload.get(self.start..self.end).unwrap_or_default() }
    }

    /// The contents of a string without escapes.
    #[inline]
    pub(super) fn plain_text<'r>(&self, payload: &'r [u8]) -> Option<&'r [u8]> {
        match self.kind {
            Kind::String { escaped: false } => payload.get(self.start + 1..self.end.saturating_sub(1)),
            _ => None,
        }
    }

    /// An integer that is spelled as most are.
    #[inline]
    pub(super) fn integer(&self) -> Option<i64> {
        self.number.and_then(|number| number.integer())
    }

    /// A float that is spelled as most are.
    #[inline]
    pub(super) fn float(&self) -> Option<f64> {
        self.number.and_then(|number| number.float())
    }
}

/// A member of an object that the pipeline may or may not know.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Where its key's quote is.
    key_start: usize,
    value: Span,
}

impl Member {
    #[inline]
    const fn of(found: &Scalar) -> Self {
        let Scalar { kind, key_start, start, end, number } = *found;
        Self { key_start, value: Span { kind, start, end, number } }
    }

    /// Its key.
    fn key<'r>(&self, payload: &'r [u8]) -> Value<'r> {
        let raw = payload.get(self.key_start..end_of_key(payload, self.value.start)).unwrap_or_default();
        Value { kind: Kind::String { escaped: raw.contains(&b'\\') }, raw }
    }
}

/// The members of the record at hand.
#[derive(Debug)]
pub(crate) struct Record<'p> {
    members: &'p Members,
    /// When the record's source took it in, milliseconds since 1970 UTC.
    pub(super) arrival_ms: Option<i64>,
    /// By number of the member.
    slots: Vec<Option<Member>>,
    /// Numbers of the members that are there.
    present: Vec<usize>,
    /// Members that no event type knows.
    others: Vec<Member>,
    /// A known member came twice.
    repeated: bool,
    /// For each member, the one that followed it last: records of a stream tend to look alike, and to
    /// compare a name with the expected one is cheaper than to hash it.
    followers: Vec<usize>,
}

impl<'p> Record<'p> {
    pub(super) fn new(members: &'p Members) -> Self {
        Self {
            members,
            arrival_ms: None,
            slots: vec![None; members.len()],
            present: Vec::with_capacity(members.len()),
            others: Vec::new(),
            repeated: false,
            followers: vec![0; members.len()],
        }
    }

    /// Reads `payload`, which must be one object. After an error there is nothing to be had of it.
    pub(super) fn read(&mut self, payload: &[u8], limits: &Limits) -> Result<(), Refusal> {
        self.others.clear();
        self.repeated = false;
        let mut cursor = Cursor::new(payload, limits)?;
        let kind = cursor.peek()?;
        if kind != Kind::Object {
            cursor.finish()?;
            return Err(Refusal::new(Reason::NotAnObject, format!("the record is {}", describe(kind))));
        }
        cursor.enter_object()?;
        self.read_alike(&mut cursor);
        let mut previous = self.present.last().copied().unwrap_or(Members::TYPE);
        loop {
            let expected = self.followers.get(previous).copied().unwrap_or_default();
            let mut found = None;
            let keys = std::iter::once(self.members.key(expected));
            cursor.scalars(keys, |_, scalar| found = Some(Member::of(&scalar)));
            if let Some(member) = found {
                self.put(expected, member);
                previous = expected;
                continue;
            }
            let Some(key) = cursor.next_key()? else { break };
            let key_start = end_of_key(payload, cursor.offset()).saturating_sub(key.raw.len());
            let value = cursor.value()?;
            let member = Member { key_start, value: Span::new(&value, cursor.offset()) };
            match self.find(&key, previous) {
                Some(number) => {
                    self.put(number, member);
                    previous = number;
                }
                None => self.others.push(member),
            }
        }
        cursor.finish()?;
        Ok(())
    }

    /// Reads members for as long as they follow one another as those of the last record did, which they take the
    /// place of: records of a stream tend to look alike.
    #[inline]
    fn read_alike(&mut self, cursor: &mut Cursor<'_>) {
        let (members, present, slots) = (self.members, &self.present, &mut self.slots);
        let keys = present.iter().map(|&number| members.key(number));
        let count = cursor.scalars(keys, |index, found| {
            if let Some(slot) = present.get(index).and_then(|&number| slots.get_mut(number)) {
                *slot = Some(Member::of(&found));
            }
        });
        self.forget_from(count);
    }

    /// Makes it a record that was read before: of its members, those that are given.
    pub(super) fn restore(
        &mut self,
        arrival_ms: Option<i64>,
        members: impl Iterator<Item = (usize, Option<Span>)>,
    ) {
        self.forget_from(0);
        self.others.clear();
        self.repeated = false;
        self.arrival_ms = arrival_ms;
        for (number, value) in members {
            if let (Some(value), false) = (value, self.has(number)) {
                self.put(number, Member { key_start: value.start, value });
            }
        }
    }

    /// Forgets the known members but for the first ones.
    fn forget_from(&mut self, count: usize) {
        for member in self.present.drain(count..) {
            if let Some(slot) = self.slots.get_mut(member) {
                *slot = None;
            }
        }
    }

    fn put(&mut self, number: usize, member: Member) {
        match self.slots.get_mut(number).map(|slot| slot.replace(member)) {
            Some(None) => self.present.push(number),
            Some(Some(_)) => self.repeated = true,
            None => {}
        }
    }

    /// The number of the member with this key, which comes after `previous`.
    fn find(&mut self, key: &Value<'_>, previous: usize) -> Option<usize> {
        let follower = self.followers.get_mut(previous)?;
        if key.unescaped().is_some_and(|key| Some(key) == self.members.name(*follower).map(str::as_bytes)) {
            return Some(*follower);
        }
        let number = self.members.find(&key.text()?)?;
        *follower = number;
        Some(number)
    }

    /// The value of a member and its offset in the payload.
    pub(crate) fn value<'r>(&self, payload: &'r [u8], member: usize) -> Option<(Value<'r>, usize)> {
        let member = self.slots.get(member)?.as_ref()?;
        Some((member.value.value(payload), member.value.start))
    }

    /// Where a member's value stands.
    #[inline]
    pub(super) fn span(&self, member: usize) -> Option<&Span> {
        Some(&self.slots.get(member)?.as_ref()?.value)
    }

    /// Whether a member is there.
    pub(crate) fn has(&self, member: usize) -> bool {
        self.slots.get(member).is_some_and(Option::is_some)
    }

    /// Whether the record has two members of one name.
    pub(crate) fn has_repeated(&self, payload: &[u8]) -> bool {
        let mut names = HashSet::with_capacity(if self.others.len() > 1 { self.others.len() } else { 0 });
        self.repeated
            || self.others.len() > 1
                && !self
                    .others
                    .iter()
                    .all(|other| other.key(payload).text().is_some_and(|name| names.insert(name)))
    }

    /// The members that the event type does not know.
    fn unknown(&self, event: usize) -> impl Iterator<Item = Member> {
        let known = self.members.known_to(event);
        let is_known = |&member: &usize| known.get(member).copied().unwrap_or_default();
        let strangers = self.present.iter().filter(move |&member| !is_known(member));
        strangers
            .filter_map(|&member| self.slots.get(member).copied().flatten())
            .chain(self.others.iter().copied())
    }

    /// How many members the event type does not know.
    pub(super) fn unknown_count(&self, event: usize) -> usize {
        self.unknown(event).count()
    }

    /// The members that the event type does not know as the text of a JSON object, in their order; the
    /// last of those with one name. `None` if there are none.
    pub(crate) fn unknown_text(
        &self,
        payload: &[u8],
        event: usize,
        limits: &pipeline::Limits,
    ) -> Result<Option<String>, Refusal> {
        let text = self.joined_unknown(payload, event);
        match text.as_ref().map(String::len).filter(|&length| length > limits.text_bytes) {
            None => Ok(text),
            Some(length) => {
                let allowed = limits.text_bytes;
                let message = format!("the unknown fields are {length} bytes, and {allowed} are allowed");
                Err(Refusal::new(Reason::TextTooLong, message))
            }
        }
    }

    fn joined_unknown(&self, payload: &[u8], event: usize) -> Option<String> {
        let mut members: Vec<Member> = self.unknown(event).collect();
        members.sort_unstable_by_key(|member| std::cmp::Reverse(member.key_start));
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        members.retain(|member| member.key(payload).text().is_some_and(|name| seen.insert(name)));
        let mut text = String::new();
        for member in members.iter().rev() {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(std::str::from_utf8(member.key(payload).raw).ok()?);
            text.push(':');
            text.push_str(std::str::from_utf8(member.value.value(payload).raw).ok()?);
        }
        if text.is_empty() {
            return None;
        }
        text.push('}');
        Some(text)
    }
}

/// Where the key ends that stands before `offset`: between them there is a colon and maybe white space.
fn end_of_key(payload: &[u8], offset: usize) -> usize {
    let before = payload.get(..offset).unwrap_or_default();
    before.iter().rposition(|&byte| byte == b'"').map_or(offset, |quote| quote + 1)
}

/// A kind of JSON value in words.
pub(super) const fn describe(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "a null",
        Kind::True | Kind::False => "a boolean",
        Kind::Number => "a number",
        Kind::String { .. } => "a string",
        Kind::Object => "an object",
        Kind::Array => "an array",
    }
}

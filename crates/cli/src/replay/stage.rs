//! From events in order to what is sent: seeded lateness, duplicates and poison, keys, and when each is due.
//!
//! Everything but the times follows from the events and the options alone, by seed: what is sent has the
//! same order, numbers and keys in every run, so that a run that was stopped goes on by its number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

use super::event::{Event, moved, text_of};
use super::pace::Pacer;
use crate::text::uuid;

/// Events that are held back at most; beyond it the next one goes early.
const MOST_HELD: usize = 200_000;
/// Characters of a partition key at most, by Kinesis' limit.
const KEY_CHARACTERS: usize = 256;

/// What a thing that is sent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// An event in its turn.
    Event,
    /// An event that was held back.
    Late,
    /// An event once more.
    Duplicate,
    /// Bytes that are no event.
    Poison,
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number in the replay, from 0.
    pub(super) number: u64,
    pub(super) sort: Sort,
    /// The time of its event, milliseconds since 1970 UTC; as it is sent, where times are adapted.
    pub(super) time_ms: i64,
    /// When it is due, since the clock's beginning.
    pub(super) due: Duration,
    /// Partition key, 1 to 256 characters.
    pub(super) key: String,
    pub(super) data: Vec<u8>,
}

impl Item {
    /// Bytes of its key and data, as Kinesis counts them.
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

/// What partition keys are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyRule {
    /// 128 bits by seed: spread over all shards.
    Random,
    /// A hash of the event: the same event has the same key.
    Payload,
    /// A member's value; as [`Random`](Self::Random) where there is none.
    Attribute(String),
}

/// What is done to events.
#[derive(Clone, Debug)]
pub(super) struct StageOptions {
    pub(super) seed: u64,
    /// Shares of events, 0 to 1.
    pub(super) late: f64,
    pub(super) duplicates: f64,
    pub(super) poison: f64,
    /// Event time by which what is late or comes twice is held back at most, in milliseconds.
    pub(super) late_by_ms: u64,
    pub(super) key: KeyRule,
    /// The member that tells an event's time.
    pub(super) attribute: String,
    /// Move each event's times so that it happens when it is due.
    pub(super) adapt: bool,
    /// End each event with a line feed.
    pub(super) newline: bool,
    /// Numbers below this were sent by an earlier run.
    pub(super) first: u64,
}

/// Makes items of events.
#[derive(Debug)]
pub(super) struct Stage {
    options: StageOptions,
    pub(super) pacer: Pacer,
    /// Milliseconds since 1970 at the clock's beginning.
    wall_ms: i64,
    held: BinaryHeap<Reverse<Held>>,
    clock_ms: i64,
    events: u64,
    next: u64,
}

/// What waits for the events' clock; in the order of its release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    release_ms: i64,
    index: u64,
    sort: Sort,
    time_ms: i64,
    adapted: bool,
    data: Vec<u8>,
}

impl Stage {
    pub(super) fn new(options: StageOptions, pacer: Pacer, wall_ms: i64) -> Self {
        let held = BinaryHeap::new();
        Self { options, pacer, wall_ms, held, clock_ms: i64::MIN, events: 0, next: 0 }
    }

    /// Events taken.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Takes the next event; adds what is to be sent by now.
    pub(super) fn take(&mut self, event: Event, now: Duration, out: &mut VecDeque<Item>) {
        let index = self.events;
        self.events += 1;
        self.clock_ms = self.clock_ms.max(event.time_ms);
        while let Some(Reverse(first)) = self.held.peek()
            && (first.release_ms <= self.clock_ms || self.held.len() > MOST_HELD)
            && let Some(Reverse(held)) = self.held.pop()
        {
            self.release(held, now, out);
        }
        let is_late = self.chance(index, 1, self.options.late);
        let is_doubled = self.chance(index, 2, self.options.duplicates);
        let is_poisoned = self.chance(index, 3, self.options.poison);
        let Event { time_ms, data, .. } = event;
        let mut held =
            Held { release_ms: self.clock_ms, index, sort: Sort::Event, time_ms, adapted: false, data };
        // Before it is known whether it is late: what happens late has happened in its turn.
        if self.next >= self.options.first {
            let due = self.pacer.due(time_ms, now);
            self.adapt(&mut held, due);
        }
        if is_poisoned {
            let poison = spoiled(&held.data, self.draw(index, 4));
            self.release(Held { sort: Sort::Poison, adapted: true, data: poison, ..held.clone() }, now, out);
        }
        let mut since = self.clock_ms;
        let doubled = is_doubled.then(|| held.clone());
        if is_late {
            since = since.saturating_add(self.delay(index, 5));
            self.held.push(Reverse(Held { release_ms: since, sort: Sort::Late, ..held }));
        } else {
            self.release(held, now, out);
        }
        if let Some(doubled) = doubled {
            let release_ms = since.saturating_add(self.delay(index, 6));
            self.held.push(Reverse(Held { release_ms, sort: Sort::Duplicate, ..doubled }));
        }
    }

    /// No event comes any more: what is still held back is sent, in its turn.
    pub(super) fn finish(&mut self, now: Duration, out: &mut VecDeque<Item>) {
        while let Some(Reverse(held)) = self.held.pop() {
            self.release(held, now, out);
        }
    }

    fn release(&mut self, mut held: Held, now: Duration, out: &mut VecDeque<Item>) {
        let number = self.next;
        self.next += 1;
        if number < self.options.first {
            return;
        }
        // In its turn it is due by its own time, which is in the past where it came out of order.
        let at_ms = if matches!(held.sort, Sort::Event) { held.time_ms } else { held.release_ms };
        let due = self.pacer.due(at_ms, now);
        self.adapt(&mut held, due);
        let key = self.key(held.index, &held.data);
        let Held { sort, time_ms, mut data, .. } = held;
        if self.options.newline {
            data.push(b'\n');
        }
        out.push_back(Item { number, sort, time_ms, due, key, data });
    }

    /// Moves an event's times to when it is due.
    fn adapt(&self, held: &mut Held, due: Duration) {
        if !self.options.adapt || held.adapted {
            return;
        }
        held.adapted = true;
        let at_ms = self.wall_ms.saturating_add(i64::try_from(due.as_millis()).unwrap_or(i64::MAX));
        if let Some(data) = moved(&held.data, &self.options.attribute, at_ms.saturating_sub(held.time_ms)) {
            held.data = data;
        }
    }

    fn draw(&self, index: u64, what: u8) -> u64 {
        let mut bytes = [what; 9];
        for (place, byte) in bytes.iter_mut().zip(index.to_le_bytes()) {
            *place = byte;
        }
        xxh3_64_with_seed(&bytes, self.options.seed)
    }

    fn chance(&self, index: u64, what: u8, share: f64) -> bool {
        // 53 bits, as many as a double holds: below 1 at any rate.
        ((self.draw(index, what) >> 11) as f64) / ((1_u64 << 53) as f64) < share
    }

    fn delay(&self, index: u64, what: u8) -> i64 {
        i64::try_from(1 + self.draw(index, what) % self.options.late_by_ms.max(1)).unwrap_or(i64::MAX)
    }

    fn key(&self, index: u64, data: &[u8]) -> String {
        let random = || uuid(xxh3_128_with_seed(&index.to_le_bytes(), self.options.seed));
        match &self.options.key {
            KeyRule::Random => random(),
            KeyRule::Payload => format!("{:016x}", xxh3_64(data)),
            KeyRule::Attribute(name) => match text_of(data, name) {
                Some(text) => text.chars().take(KEY_CHARACTERS).collect(),
                None => random(),
            },
        }
    }
}

/// What is no event, made of one: no pipeline takes it.
fn spoiled(data: &[u8], draw: u64) -> Vec<u8> {
    match draw % 4 {
        0 => data.get(..(data.len() / 2).max(1)).unwrap_or(b"{").to_vec(),
        1 => b"not json at all".to_vec(),
        2 => [b"\xff\xfe", data].concat(),
        _ => [data, b" and more"].concat(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    const EVENTS: u64 = 10_000;

    fn options() -> StageOptions {
        StageOptions {
            seed: 7,
            late: 0.0,
            duplicates: 0.0,
            poison: 0.0,
            late_by_ms: 60_000,
            key: KeyRule::Random,
            attribute: "at".to_owned(),
            adapt: false,
            newline: false,
            first: 0,
        }
    }

    fn event(number: u64) -> Event {
        let time_ms = i64::try_from(number * 100).unwrap_or_default();
        let data = format!("{{\"id\":{number},\"at\":{time_ms}}}").into_bytes();
        Event { time_ms, is_timed: true, file: 0, position: number + 1, data }
    }

    fn all(options: StageOptions, speedup: f64) -> Vec<Item> {
        let mut stage = Stage::new(options, Pacer::new(speedup, Duration::MAX), 1_700_000_000_000);
        let mut out = VecDeque::new();
        for number in 0..EVENTS {
            stage.take(event(number), Duration::ZERO, &mut out);
        }
        stage.finish(Duration::ZERO, &mut out);
        out.into()
    }

    fn count(items: &[Item], sort: Sort) -> usize {
        items.iter().filter(|item| item.sort == sort).count()
    }

    #[test]
    fn without_faults_every_event_goes_as_it_is_in_its_order() {
        let items = all(options(), 1.0);
        assert_eq!(items.len() as u64, EVENTS);
        for (item, number) in items.iter().zip(0..) {
            assert_eq!((item.number, &item.data), (number, &event(number).data));
            assert_eq!(item.due, Duration::from_millis(number * 100));
        }
    }

    #[test]
    fn shares_of_late_double_and_poisoned_events_are_as_asked_and_no_event_is_lost() {
        let asked = StageOptions { late: 0.1, duplicates: 0.05, poison: 0.02, ..options() };
        let items = all(asked.clone(), 1.0);
        let (late, double) = (count(&items, Sort::Late), count(&items, Sort::Duplicate));
        let poison = count(&items, Sort::Poison);
        assert!((900..1100).contains(&late), "{late}");
        assert!((430..570).contains(&double), "{double}");
        assert!((150..250).contains(&poison), "{poison}");
        assert_eq!(count(&items, Sort::Event) + late, EVENTS as usize);
        let mut first: Vec<&[u8]> =
            items.iter().filter(|item| item.sort <= Sort::Late).map(|item| item.data.as_slice()).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len() as u64, EVENTS);
        // A duplicate comes after the first one, with its bytes and its key.
        for (place, item) in items.iter().enumerate().filter(|(_, item)| item.sort == Sort::Duplicate) {
            let before = items[..place].iter().find(|first| first.data == item.data);
            assert_eq!(before.map(|first| &first.key), Some(&item.key));
        }
        // Late by the events' clock, within the bound.
        for item in items.iter().filter(|item| item.sort == Sort::Late) {
            let by = item.due.as_millis() as i64 - item.time_ms;
            assert!((1..=60_000).contains(&by), "{by}");
        }
        assert_eq!(items, all(asked, 1.0));
    }

    #[test]
    fn another_seed_chooses_other_events() {
        let asked = StageOptions { late: 0.1, ..options() };
        let other = StageOptions { seed: 8, ..asked.clone() };
        assert_ne!(all(asked, 0.0), all(other, 0.0));
    }

    #[test]
    fn a_run_that_goes_on_sends_what_the_first_one_would_have_sent() {
        let asked = StageOptions { late: 0.1, duplicates: 0.1, poison: 0.1, ..options() };
        let whole = all(asked.clone(), 0.0);
        for first in [1, 77, 5_000, whole.len() as u64] {
            let rest = all(StageOptions { first, ..asked.clone() }, 0.0);
            assert_eq!(rest, whole[first as usize..]);
        }
    }

    #[test]
    fn adapted_events_happen_when_they_are_due_and_duplicates_stay_the_same() {
        let asked = StageOptions { adapt: true, duplicates: 0.1, late: 0.1, ..options() };
        let items = all(asked, 10.0);
        for item in items.iter().filter(|item| item.sort == Sort::Event) {
            let text = String::from_utf8_lossy(&item.data).into_owned();
            let at = 1_700_000_000_000 + item.due.as_millis();
            assert!(text.ends_with(&format!("\"at\":{at}}}")), "{text}");
        }
        for item in items.iter().filter(|item| item.sort == Sort::Duplicate) {
            assert!(items.iter().any(|first| first.sort <= Sort::Late && first.data == item.data));
        }
    }

    #[test]
    fn keys_are_spread_or_follow_the_event() {
        let random = all(options(), 0.0);
        let mut keys: Vec<&str> = random.iter().map(|item| item.key.as_str()).collect();
        assert!(keys.iter().all(|key| key.len() == 36));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), random.len());
        let by_id = all(StageOptions { key: KeyRule::Attribute("id".to_owned()), ..options() }, 0.0);
        assert_eq!(by_id[12].key, "12");
        let by_payload = all(StageOptions { key: KeyRule::Payload, newline: true, ..options() }, 0.0);
        assert_eq!(by_payload[3].key.len(), 16);
        assert_eq!(by_payload[3].data.last(), Some(&b'\n'));
    }
}

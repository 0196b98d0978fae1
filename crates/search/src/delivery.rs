//! Which documents are sent when: the bookkeeping of one delivery, without a clock or a network.
//!
//! Every item is waiting, on its way or settled. Items on one document keep their order: one is sent only
//! when those before it are settled or go before it in the same request; and when one must be sent once
//! more, so must those that went after it, lest an older document replace a newer one.

use std::collections::HashSet;

use tripline_model::decode::{Reason, Refusal};
use tripline_model::pipeline::{Pipeline, Policy};

use crate::batch::{Batch, Item, search_of};
use crate::delivered::{Delivered, Refused, SearchCounts, Undelivered, Why};
use crate::reply::{ItemReply, Result as Done};
use crate::verdict::{Scope, Verdict, advice, verdict};

/// Items to be sent together, by their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) items: Vec<usize>,
    /// Length of their lines.
    pub(crate) bytes: usize,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer to each of its items.
    Items(Vec<ItemReply>),
    /// An answer to the whole.
    Status { status: u16, reason: String },
    /// None, or one that says nothing.
    Nothing {
        /// The cluster may have got the request.
        sent: bool,
        reason: String,
    },
}

/// What the outcome says of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It takes more.
    Fine,
    /// It wants less.
    Busy,
    /// It wants smaller requests.
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { ready_ms: i64 },
    Sent,
    Settled,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    tries: u32,
    /// Most items in a request that it is part of, after one was refused as a whole.
    company: usize,
}

/// The bookkeeping of one delivery.
#[derive(Debug)]
pub(crate) struct Delivery<'b> {
    pipeline: &'b Pipeline,
    batch: &'b Batch,
    slots: Vec<Slot>,
    /// Items before this one are settled.
    settled_to: usize,
    refused: Vec<Refused>,
    /// The first record that fails the batch.
    failed: Option<(usize, Refusal)>,
    /// Items that were not understood although they were alone, with the cluster's reason.
    suspects: Vec<(usize, String)>,
    stopped: Option<Why>,
    last_reason: Option<String>,
    counts: SearchCounts,
}

impl<'b> Delivery<'b> {
    pub(crate) fn new(pipeline: &'b Pipeline, batch: &'b Batch) -> Self {
        let waiting = Slot { state: State::Waiting { ready_ms: i64::MIN }, tries: 0, company: usize::MAX };
        Self {
            pipeline,
            batch,
            slots: vec![waiting; batch.items.len()],
            settled_to: 0,
            refused: batch.refused.clone(),
            failed: batch.failed.clone(),
            suspects: Vec::new(),
            stopped: None,
            last_reason: None,
            counts: batch.counts,
        }
    }

    /// The next request, of items that are ready.
    pub(crate) fn next(&mut self, now_ms: i64, max_bytes: usize, max_actions: usize) -> Option<Request> {
        while self.slots.get(self.settled_to).is_some_and(|slot| slot.state == State::Settled) {
            self.settled_to += 1;
        }
        let mut request = Request { items: Vec::new(), bytes: 0 };
        let mut company = max_actions;
        for index in self.settled_to..self.slots.len() {
            let (Some(slot), Some(item)) = (self.slots.get(index), self.batch.items.get(index)) else {
                break;
            };
            if self.is_past_end(item) {
                break;
            }
            let State::Waiting { ready_ms } = slot.state else { continue };
            if ready_ms > now_ms || !self.may_follow(item, &request) {
                continue;
            }
            company = company.min(slot.company);
            if !request.items.is_empty()
                && (request.items.len() >= company || request.bytes + item.lines.len() > max_bytes)
            {
                break;
            }
            request.items.push(index);
            request.bytes += item.lines.len();
        }
        for &index in &request.items {
            if let Some(slot) = self.slots.get_mut(index) {
                self.counts.retried += u64::from(slot.tries > 0);
                slot.state = State::Sent;
                slot.tries += 1;
            }
        }
        (!request.items.is_empty()).then_some(request)
    }

    /// Whether what comes before the item on its document is done, or goes before it in the request.
    fn may_follow(&self, item: &Item, request: &Request) -> bool {
        let settled = |before: usize| self.slots.get(before).is_none_or(|slot| slot.state == State::Settled);
        item.before.is_none_or(|before| request.items.binary_search(&before).is_ok() || settled(before))
    }

    /// Whether the item will not be sent, because delivery has stopped or fails before it.
    fn is_past_end(&self, item: &Item) -> bool {
        self.stopped.is_some() || self.failed.as_ref().is_some_and(|(record, _)| item.record >= *record)
    }

    /// The times at which items that wait may be sent.
    fn waiting(&self) -> impl Iterator<Item = i64> {
        let slots = self.slots.iter().zip(&self.batch.items).skip(self.settled_to);
        let sendable = slots.take_while(|(_, item)| !self.is_past_end(item));
        sendable.filter_map(|(slot, _)| match slot.state {
            State::Waiting { ready_ms } => Some(ready_ms),
            _ => None,
        })
    }

    /// Whether any item waits to be sent.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting().next().is_some()
    }

    /// When the next item is ready that is not so yet.
    pub(crate) fn next_ready_ms(&self, now_ms: i64) -> Option<i64> {
        self.waiting().filter(|&ready_ms| ready_ms > now_ms).min()
    }

    /// Takes what came of a request. `retry_ms` says, after how many tries, when to try again.
    pub(crate) fn settle(
        &mut self,
        request: &Request,
        outcome: Outcome,
        retry_ms: impl Fn(u32) -> i64,
    ) -> Mood {
        match outcome {
            Outcome::Items(replies) => self.settle_items(request, replies, retry_ms),
            Outcome::Nothing { sent, reason } => {
                self.last_reason = Some(reason);
                self.repeat(request, sent, retry_ms);
                Mood::Busy
            }
            Outcome::Status { status, reason } => self.settle_whole(request, status, reason, retry_ms),
        }
    }

    fn settle_whole(
        &mut self,
        request: &Request,
        status: u16,
        reason: String,
        retry_ms: impl Fn(u32) -> i64,
    ) -> Mood {
        let told = format!("{status} {reason}");
        match verdict(Scope::Request, status, None) {
            Verdict::Retry | Verdict::Accepted | Verdict::Conflict => {
                self.counts.throttled += u64::from(status == 429);
                self.last_reason = Some(told);
                // What the cluster has no memory for as a whole it may have for its halves.
                if status == 429 && self.tries(request) > 1 {
                    self.part(request);
                }
                self.repeat(request, false, retry_ms);
                Mood::Busy
            }
            Verdict::RetryUnknown => {
                self.last_reason = Some(told);
                self.repeat(request, true, retry_ms);
                Mood::Busy
            }
            Verdict::Halve | Verdict::Bisect if request.items.len() > 1 => {
                self.last_reason = Some(told);
                self.part(request);
                request
                    .items
                    .iter()
                    .for_each(|&index| self.set(index, State::Waiting { ready_ms: i64::MIN }));
                if status == 413 { Mood::TooLarge } else { Mood::Fine }
            }
            Verdict::Halve | Verdict::Rejected => {
                for &index in &request.items {
                    self.refuse(index, Reason::DocumentTooLarge, told.clone());
                }
                Mood::Fine
            }
            Verdict::Bisect => {
                for &index in &request.items {
                    self.suspects.push((index, told.clone()));
                    self.set(index, State::Settled);
                }
                Mood::Fine
            }
            Verdict::Stop => {
                request
                    .items
                    .iter()
                    .for_each(|&index| self.set(index, State::Waiting { ready_ms: i64::MAX }));
                self.stopped = Some(Why::Operator { reason: told, advice: advice(status) });
                Mood::Fine
            }
        }
    }

    fn settle_items(
        &mut self,
        request: &Request,
        replies: Vec<ItemReply>,
        retry_ms: impl Fn(u32) -> i64,
    ) -> Mood {
        if !self.answers(request, &replies) {
            self.last_reason = Some("the answer is not about the documents that were sent".to_owned());
            self.repeat(request, true, retry_ms);
            return Mood::Busy;
        }
        let all_forbidden = replies.iter().all(|reply| reply.status == 403);
        let mut again = HashSet::new();
        let mut busy = false;
        for (&index, reply) in request.items.iter().zip(replies) {
            let Some(item) = self.batch.items.get(index) else { continue };
            let told =
                || format!("{} {}", reply.status, reply.error.as_deref().unwrap_or("without a reason"));
            let follows = item.before.is_some_and(|before| again.contains(&before));
            let verdict = verdict(Scope::Item, reply.status, Some(reply.act));
            match verdict {
                Verdict::Stop | Verdict::Rejected if all_forbidden || verdict == Verdict::Stop => {
                    self.stopped = Some(Why::Operator { reason: told(), advice: advice(reply.status) });
                    self.set(index, State::Waiting { ready_ms: i64::MAX });
                }
                Verdict::Accepted | Verdict::Conflict | Verdict::Rejected if follows => {
                    again.insert(index);
                    self.retry(index, true, i64::MIN);
                }
                Verdict::Accepted => {
                    self.count(&reply);
                    self.set(index, State::Settled);
                }
                Verdict::Conflict => self.conflict(index, told()),
                Verdict::Retry | Verdict::RetryUnknown => {
                    busy = true;
                    self.counts.throttled += u64::from(reply.status == 429);
                    self.last_reason = Some(told());
                    again.insert(index);
                    let tries = self.slots.get(index).map_or(1, |slot| slot.tries);
                    self.retry(index, verdict == Verdict::RetryUnknown, retry_ms(tries));
                }
                _ => self.refuse(index, Reason::Rejected, told()),
            }
        }
        if busy { Mood::Busy } else { Mood::Fine }
    }

    /// Whether the replies are those to the items of the request, one by one.
    fn answers(&self, request: &Request, replies: &[ItemReply]) -> bool {
        let fits = |(index, reply): (&usize, &ItemReply)| {
            let item = self.batch.items.get(*index);
            item.is_some_and(|item| {
                item.act == reply.act && (item.id.is_none() || reply.id.is_none() || item.id == reply.id)
            })
        };
        request.items.len() == replies.len() && request.items.iter().zip(replies).all(fits)
    }

    fn set(&mut self, index: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.state = state;
        }
    }

    /// How often the request, or some of it, was sent.
    fn tries(&self, request: &Request) -> u32 {
        request.items.iter().filter_map(|&index| Some(self.slots.get(index)?.tries)).max().unwrap_or(1)
    }

    /// Keeps the request's items from being sent together again: in halves at most.
    fn part(&mut self, request: &Request) {
        let company = request.items.len().div_ceil(2);
        for &index in &request.items {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.company = slot.company.min(company);
            }
        }
    }

    /// Has the whole request sent once more.
    fn repeat(&mut self, request: &Request, unknown: bool, retry_ms: impl Fn(u32) -> i64) {
        // At one time, so that they make one request again.
        let ready_ms = retry_ms(self.tries(request));
        for &index in &request.items {
            self.retry(index, unknown, ready_ms);
        }
    }

    fn retry(&mut self, index: usize, unknown: bool, ready_ms: i64) {
        if unknown {
            self.note_unknown(index);
        }
        self.set(index, State::Waiting { ready_ms });
    }

    /// An item may have been taken and will be sent again.
    fn note_unknown(&mut self, index: usize) {
        let without_id = self.batch.items.get(index).is_some_and(|item| item.id.is_none());
        self.counts.possible_duplicates += u64::from(without_id);
    }

    const fn count(&mut self, reply: &ItemReply) {
        match reply.result {
            Done::Created => self.counts.created += 1,
            Done::Updated => self.counts.updated += 1,
            Done::Deleted => self.counts.deleted += 1,
            Done::Noop | Done::NotFound => self.counts.noops += 1,
            Done::Untold if reply.status == 201 => self.counts.created += 1,
            Done::Untold => self.counts.updated += 1,
        }
    }

    fn conflict(&mut self, index: usize, reason: String) {
        self.counts.conflicts += 1;
        let search = self.batch.items.get(index).and_then(|item| search_of(self.pipeline, item.event));
        let policy = search.map_or(Policy::Ignore, |search| search.on_version_conflict);
        self.set_aside(index, policy, Reason::VersionConflict, reason);
    }

    fn refuse(&mut self, index: usize, reason: Reason, error: String) {
        let search = self.batch.items.get(index).and_then(|item| search_of(self.pipeline, item.event));
        let policy = search.map_or(Policy::DeadLetter, |search| search.on_rejected);
        if policy == Policy::Ignore {
            self.counts.ignored += 1;
        }
        self.set_aside(index, policy, reason, error);
    }

    fn set_aside(&mut self, index: usize, policy: Policy, reason: Reason, error: String) {
        self.set(index, State::Settled);
        let Some(item) = self.batch.items.get(index) else { return };
        match policy {
            Policy::Ignore => {}
            Policy::DeadLetter => {
                let event_type = self.pipeline.events.get(item.event).map(|event| event.type_value.clone());
                let refused = Refused { record: item.record, reason, error, event_type, malformed: false };
                self.refused.push(refused);
            }
            Policy::Fail => {
                if self.failed.as_ref().is_none_or(|(record, _)| item.record < *record) {
                    self.failed = Some((item.record, Refusal { reason, message: error }));
                }
            }
        }
    }

    /// What became of the records, once no request is under way. `proven`: the cluster has taken a request
    /// before, so that one it does not understand is not every one.
    pub(crate) fn finish(mut self, proven: bool) -> Delivered {
        for (index, reason) in std::mem::take(&mut self.suspects) {
            if proven {
                self.refuse(index, Reason::Rejected, reason);
            } else {
                self.set(index, State::Waiting { ready_ms: i64::MAX });
                self.stopped = Some(Why::Operator { reason, advice: advice(400) });
            }
        }
        // What is still on its way was given up: the time was up.
        for index in 0..self.slots.len() {
            if self.slots.get(index).is_some_and(|slot| slot.state == State::Sent) {
                self.note_unknown(index);
            }
        }
        let open = |(slot, _): &(&Slot, &Item)| slot.state != State::Settled;
        let open = self.slots.iter().zip(&self.batch.items).find(open).map(|(_, item)| item.record);
        let undelivered = match (open, self.failed) {
            (open, Some((record, refusal))) if open.is_none_or(|open| record <= open) => {
                Some(Undelivered { record, why: Why::Refused(refusal) })
            }
            (Some(record), _) => {
                let last = match self.last_reason {
                    Some(reason) => format!("the cluster said last: {reason}"),
                    None => "the cluster had no time to answer".to_owned(),
                };
                Some(Undelivered { record, why: self.stopped.unwrap_or(Why::TimeUp { last }) })
            }
            (None, _) => None,
        };
        let end = undelivered.as_ref().map_or(usize::MAX, |undelivered| undelivered.record);
        let mut refused = self.refused;
        refused.retain(|refused| refused.record < end);
        refused.sort_by_key(|refused| refused.record);
        let mut counts = self.counts;
        counts.refused = refused.len() as u64;
        counts.malformed = refused.iter().filter(|refused| refused.malformed).count() as u64;
        Delivered { refused, undelivered, counts }
    }
}

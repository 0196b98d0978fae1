//! Which documents are sent when: the bookkeeping of one delivery, without a clock or a network.
//!
//! Every item is waiting, on its way or settled. Items on one document keep their order: one is sent only
//! when those before it are settled or go before it in the same request; and when one must be sent once
//! more, so must those that went after it, lest an older document replace a newer one.

mod settle;
#[cfg(test)]
mod tests;

use tripline_model::decode::{Reason, Refusal};
use tripline_model::pipeline::Pipeline;

use crate::batch::{Batch, Item};
use crate::delivered::{Delivered, Refused, SearchCounts, Undelivered, Why};
use crate::reply::ItemReply;
use crate::verdict::advice;

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
    /// What the cluster said last, and why it has not answered since: the end of the time cuts a request
    /// short, which must not hide what the cluster had to say.
    last_reason: Option<String>,
    last_silence: Option<String>,
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
            last_silence: None,
            counts: batch.counts,
        }
    }

    /// The next request, of items that are ready. `proven`: see [`finish`](Self::finish).
    pub(crate) fn next(
        &mut self,
        now_ms: i64,
        max_bytes: usize,
        max_actions: usize,
        proven: bool,
    ) -> Option<Request> {
        // One that is not understood may be at fault itself. Two are as good as all: to go on halving would
        // only send each document to what is no cluster.
        if !proven && self.suspects.len() > 1 {
            return None;
        }
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
                let last = match (self.last_reason, self.last_silence) {
                    (Some(said), Some(silence)) => {
                        format!("the cluster said last: {said}; after that {silence}")
                    }
                    (Some(reason), None) | (None, Some(reason)) => format!("the cluster said last: {reason}"),
                    (None, None) => "the cluster had no time to answer".to_owned(),
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

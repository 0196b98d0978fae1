//! What the outcome of a request means for its items.

use std::collections::HashSet;

use tripline_model::decode::{Reason, Refusal};
use tripline_model::pipeline::Policy;

use super::{Delivery, Mood, Outcome, Request, State};
use crate::batch::search_of;
use crate::delivered::{Refused, Why};
use crate::reply::{ItemReply, Result as Done};
use crate::verdict::{Scope, Verdict, advice, verdict};

impl Delivery<'_> {
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
                self.last_silence = Some(reason);
                self.repeat(request, sent, retry_ms);
                Mood::Busy
            }
            Outcome::Status { status, reason } => self.settle_whole(request, status, reason, retry_ms),
        }
    }

    fn said(&mut self, reason: impl Into<String>) {
        (self.last_reason, self.last_silence) = (Some(reason.into()), None);
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
                self.said(told);
                // What the cluster has no memory for as a whole it may have for its halves.
                if status == 429 && self.tries(request) > 1 {
                    self.part(request);
                }
                self.repeat(request, false, retry_ms);
                Mood::Busy
            }
            Verdict::RetryUnknown => {
                self.said(told);
                self.repeat(request, true, retry_ms);
                Mood::Busy
            }
            Verdict::Halve | Verdict::Bisect if request.items.len() > 1 => {
                self.said(told);
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
            self.said("the answer is not about the documents that were sent");
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
                    self.said(told());
                    again.insert(index);
                    let tries = self.slots.get(index).map_or(1, |slot| slot.tries);
                    self.retry(index, verdict == Verdict::RetryUnknown, retry_ms(tries));
                }
                _ => self.refuse(index, Reason::Rejected, told()),
            }
        }
        if busy { Mood::Busy } else { Mood::Fine }
    }

    /// Whether the replies are those to the items of the request, one by one. Ids are not compared where an
    /// ingest pipeline, which may change them, has the last word.
    fn answers(&self, request: &Request, replies: &[ItemReply]) -> bool {
        let piped =
            |event| search_of(self.pipeline, event).is_some_and(|search| search.ingest_pipeline.is_some());
        let fits = |(index, reply): (&usize, &ItemReply)| {
            let item = self.batch.items.get(*index);
            item.is_some_and(|item| {
                let same = item.id.is_none() || reply.id.is_none() || item.id == reply.id;
                item.act == reply.act && (same || piped(item.event))
            })
        };
        request.items.len() == replies.len() && request.items.iter().zip(replies).all(fits)
    }

    pub(super) fn set(&mut self, index: usize, state: State) {
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
    pub(super) fn note_unknown(&mut self, index: usize) {
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

    pub(super) fn refuse(&mut self, index: usize, reason: Reason, error: String) {
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
}

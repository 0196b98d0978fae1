//! Which records are sent when, and what became of them: the bookkeeping of one run, without a clock or a
//! network.
//!
//! Every record waits, is on its way or has its fate. What is ready goes in the order of the run, so that a
//! request never has two records in another order than they came in.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tripline_stream::sink::{Fate, Sent, SentCounts};

use crate::limits::REQUEST_RECORDS;
use crate::verdict::{CORRECT, Verdict};

/// Records to be sent together, by their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) records: Vec<usize>,
    /// It is to stay by itself: one of them may be at fault for a request that was refused.
    apart: bool,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An answer to each of its records.
    Answers(Vec<Answer>),
    /// An error for the whole.
    Failed { verdict: Verdict, told: String },
    /// No answer, or one that says nothing: the records may be in the stream.
    Silence { told: String },
}

/// What is answered to a record.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Taken,
    Failed { verdict: Verdict, told: String },
}

/// What the outcome says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It takes more.
    Fine,
    /// It wants less.
    Busy,
}

#[derive(Clone, Debug)]
struct Slot {
    bytes: usize,
    tries: u32,
    fate: Option<Fate>,
    /// What was said of it last, and why there was no answer since: the end of the time cuts a request
    /// short, which must not hide what Kinesis had to say.
    said: Option<Arc<str>>,
    silence: Option<Arc<str>>,
}

/// A request that failed, until it may be sent once more.
#[derive(Clone, Debug)]
struct Later {
    ready: Duration,
    request: Request,
}

/// The bookkeeping of one run. Times are since its beginning.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: Vec<Slot>,
    max_bytes: usize,
    waiting: BTreeSet<usize>,
    apart: VecDeque<Vec<usize>>,
    later: Vec<Later>,
    /// Records that were not understood although they were alone, with the reason.
    suspects: Vec<(usize, Arc<str>)>,
    stopped: Option<Arc<str>>,
    counts: SentCounts,
}

impl Ledger {
    /// For records of these sizes, or why they cannot be sent at all, in requests of at most `max_bytes`.
    pub(crate) fn new(records: impl IntoIterator<Item = Result<usize, String>>, max_bytes: usize) -> Self {
        let slot = |bytes, fate| Slot { bytes, tries: 0, fate, said: None, silence: None };
        let slots: Vec<Slot> = records
            .into_iter()
            .map(|record| match record {
                Ok(bytes) => slot(bytes, None),
                Err(error) => slot(0, Some(Fate::Refused { error })),
            })
            .collect();
        let open = slots.iter().enumerate().filter(|(_, slot)| slot.fate.is_none());
        Self {
            waiting: open.map(|(index, _)| index).collect(),
            slots,
            max_bytes,
            apart: VecDeque::new(),
            later: Vec::new(),
            suspects: Vec::new(),
            stopped: None,
            counts: SentCounts::default(),
        }
    }

    /// The next request, of records that are ready.
    pub(crate) fn next(&mut self, now: Duration) -> Option<Request> {
        if self.stopped.is_some() {
            return None;
        }
        for Later { request, .. } in self.later.extract_if(.., |later| later.ready <= now) {
            if request.apart {
                self.apart.push_back(request.records);
            } else {
                self.waiting.extend(request.records);
            }
        }
        let request = match self.apart.pop_front() {
            Some(records) => Request { records, apart: true },
            None => Request { records: self.cut(), apart: false },
        };
        for &index in &request.records {
            if let Some(slot) = self.slots.get_mut(index) {
                self.counts.retried += u64::from(slot.tries > 0);
                slot.tries += 1;
            }
        }
        self.counts.requests += u64::from(!request.records.is_empty());
        (!request.records.is_empty()).then_some(request)
    }

    /// As many of those that wait as fit into a request.
    fn cut(&mut self) -> Vec<usize> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(&index) = self.waiting.first() {
            let size = self.slots.get(index).map_or(0, |slot| slot.bytes);
            if records.len() == REQUEST_RECORDS || !records.is_empty() && bytes + size > self.max_bytes {
                break;
            }
            self.waiting.pop_first();
            records.push(index);
            bytes += size;
        }
        records
    }

    /// Whether anything waits to be sent.
    pub(crate) fn has_waiting(&self) -> bool {
        let any = !self.waiting.is_empty() || !self.apart.is_empty() || !self.later.is_empty();
        any && self.stopped.is_none()
    }

    /// When the next records are ready that are not so yet.
    pub(crate) fn next_ready(&self) -> Option<Duration> {
        self.later.iter().map(|later| later.ready).min()
    }

    /// Whether anything is ready.
    pub(crate) fn has_ready(&self, now: Duration) -> bool {
        let due = self.next_ready().is_some_and(|ready| ready <= now);
        self.has_waiting() && (due || !self.waiting.is_empty() || !self.apart.is_empty())
    }

    /// Takes what came of a request. `retry_at` says, after how many tries, when to try again. `proven`: the
    /// stream has taken a record before, so that what it does not understand is not every request.
    pub(crate) fn settle(
        &mut self,
        request: Request,
        outcome: Outcome,
        proven: bool,
        retry_at: impl Fn(u32) -> Duration,
    ) -> Mood {
        match outcome {
            Outcome::Answers(answers) if answers.len() == request.records.len() => {
                self.settle_answers(&request, answers, retry_at)
            }
            Outcome::Answers(answers) => {
                let (sent, told) = (request.records.len(), answers.len());
                let told = format!("the answer is about {told} records and not about the {sent} sent");
                self.settle_silence(request, &told, retry_at)
            }
            Outcome::Silence { told } => self.settle_silence(request, &told, retry_at),
            Outcome::Failed { verdict, told } => {
                self.settle_failed(request, verdict, &told, proven, retry_at)
            }
        }
    }

    fn settle_answers(
        &mut self,
        request: &Request,
        answers: Vec<Answer>,
        retry_at: impl Fn(u32) -> Duration,
    ) -> Mood {
        let (mut again, mut throttled) = (Vec::new(), 0);
        for (&index, answer) in request.records.iter().zip(answers) {
            let Answer::Failed { verdict, told } = answer else {
                self.take(index);
                continue;
            };
            match verdict {
                Verdict::Throttled { advice } => {
                    throttled += 1;
                    self.say(index, &format!("{told}; {advice}").into());
                    again.push(index);
                }
                Verdict::Later => {
                    self.say(index, &told.into());
                    again.push(index);
                }
                Verdict::Bad => self.refuse(index, format!("Kinesis does not take it: {told}; {CORRECT}")),
                Verdict::Stop { advice } => {
                    self.stop(&format!("{told}; {advice}").into());
                }
            }
        }
        self.counts.throttled += throttled as u64;
        // Together, so that they make one request again, and no longer apart: it was understood.
        self.put_off(Request { records: again, apart: false }, retry_at);
        // One hot shard of many does not slow down what goes to the others.
        if throttled * 4 >= request.records.len() { Mood::Busy } else { Mood::Fine }
    }

    fn settle_silence(&mut self, request: Request, told: &str, retry_at: impl Fn(u32) -> Duration) -> Mood {
        let told: Arc<str> = told.into();
        for &index in &request.records {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.silence = Some(Arc::clone(&told));
            }
        }
        self.put_off(request, retry_at);
        Mood::Busy
    }

    fn settle_failed(
        &mut self,
        request: Request,
        verdict: Verdict,
        told: &str,
        proven: bool,
        retry_at: impl Fn(u32) -> Duration,
    ) -> Mood {
        let said: Arc<str> = match verdict {
            Verdict::Later => told.into(),
            Verdict::Bad => format!("{told}; {CORRECT}").into(),
            Verdict::Throttled { advice } | Verdict::Stop { advice } => format!("{told}; {advice}").into(),
        };
        for &index in &request.records {
            self.say(index, &said);
        }
        match verdict {
            Verdict::Throttled { .. } | Verdict::Later => {
                if verdict != Verdict::Later {
                    self.counts.throttled += request.records.len() as u64;
                }
                self.put_off(request, retry_at);
                Mood::Busy
            }
            Verdict::Bad => {
                self.part(request.records, &said, proven);
                Mood::Fine
            }
            Verdict::Stop { .. } => {
                self.stop(&said);
                Mood::Fine
            }
        }
    }

    /// Sends each half by itself, to find the record that is at fault; or has found it.
    fn part(&mut self, mut records: Vec<usize>, said: &Arc<str>, proven: bool) {
        let second = records.split_off(records.len().div_ceil(2));
        if !second.is_empty() {
            self.apart.push_front(second);
            self.apart.push_front(records);
            return;
        }
        for index in records {
            if proven {
                self.refuse(index, format!("Kinesis does not take it: {said}"));
            } else {
                self.suspects.push((index, Arc::clone(said)));
            }
        }
        // Two that are alone are as good as all: it is not for the records that nothing is understood.
        if self.suspects.len() > 1 && !proven {
            self.stop(said);
        }
    }

    fn put_off(&mut self, request: Request, retry_at: impl Fn(u32) -> Duration) {
        let tries = request.records.iter().filter_map(|&index| Some(self.slots.get(index)?.tries)).max();
        if let Some(tries) = tries {
            self.later.push(Later { ready: retry_at(tries), request });
        }
    }

    fn take(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.fate = Some(Fate::Taken);
            self.counts.bytes += slot.bytes as u64;
        }
    }

    fn refuse(&mut self, index: usize, error: String) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.fate = Some(Fate::Refused { error });
        }
    }

    fn say(&mut self, index: usize, said: &Arc<str>) {
        if let Some(slot) = self.slots.get_mut(index) {
            (slot.said, slot.silence) = (Some(Arc::clone(said)), None);
        }
    }

    fn stop(&mut self, said: &Arc<str>) {
        self.stopped.get_or_insert_with(|| Arc::clone(said));
    }

    /// What became of the records; those on their way were given up. `proven`: see [`settle`](Self::settle).
    pub(crate) fn finish(mut self, proven: bool) -> Sent {
        if proven {
            for (index, said) in std::mem::take(&mut self.suspects) {
                self.refuse(index, format!("Kinesis does not take it: {said}"));
            }
        }
        let stopped = self.stopped.as_deref();
        let mut counts = self.counts;
        let fates: Vec<Fate> = self
            .slots
            .into_iter()
            .map(|slot| {
                slot.fate.unwrap_or_else(|| {
                    let error = match (stopped, slot.said, slot.silence) {
                        (Some(stopped), ..) => stopped.to_owned(),
                        (_, Some(said), Some(silence)) => format!("{said}; after that {silence}"),
                        (_, Some(told), None) | (_, None, Some(told)) => told.to_string(),
                        (_, None, None) if slot.tries > 0 => "there was no time for an answer".to_owned(),
                        (_, None, None) => "there was no time to send it".to_owned(),
                    };
                    Fate::Open { error }
                })
            })
            .collect();
        counts.taken = fates.iter().filter(|fate| **fate == Fate::Taken).count() as u64;
        counts.refused = fates.iter().filter(|fate| matches!(fate, Fate::Refused { .. })).count() as u64;
        Sent { fates, counts }
    }
}

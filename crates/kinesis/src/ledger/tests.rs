#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::ZERO;
const THROTTLED: Verdict = Verdict::Throttled { advice: "wait" };

fn ledger(sizes: &[usize], max_bytes: usize) -> Ledger {
    Ledger::new(sizes.iter().map(|&size| Ok(size)), max_bytes)
}

fn failed(verdict: Verdict) -> Outcome {
    Outcome::Failed { verdict, told: "told".to_owned() }
}

fn answer(verdict: Verdict) -> Answer {
    Answer::Failed { verdict, told: "told".to_owned() }
}

/// Settles at once, to be tried again at once.
fn settle(ledger: &mut Ledger, request: &Request, outcome: Outcome, proven: bool) -> Mood {
    ledger.settle(request.clone(), outcome, proven, |_| NOW)
}

fn all(request: &Request) -> Outcome {
    Outcome::Answers(vec![Answer::Taken; request.records.len()])
}

fn next(ledger: &mut Ledger) -> Vec<usize> {
    ledger.next(NOW).map(|request| request.records).unwrap_or_default()
}

#[test]
fn requests_are_cut_by_records_and_by_bytes() {
    let mut many = ledger(&[1; 1001], 1 << 20);
    let counts: Vec<usize> = std::iter::from_fn(|| many.next(NOW)).map(|r| r.records.len()).collect();
    assert_eq!(counts, [500, 500, 1]);
    let mut large = ledger(&[60, 40, 1, 99, 1], 100);
    let cut: Vec<Vec<usize>> = std::iter::from_fn(|| large.next(NOW)).map(|r| r.records).collect();
    assert_eq!(cut, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn only_what_failed_is_sent_again_and_in_its_order_before_what_comes_later() {
    let mut run = ledger(&[1; 502], 1 << 20);
    let first = run.next(NOW).unwrap();
    let mut answers = vec![Answer::Taken; 500];
    answers[7] = answer(THROTTLED);
    answers[3] = answer(Verdict::Later);
    assert_eq!(settle(&mut run, &first, Outcome::Answers(answers), true), Mood::Fine);
    let second = run.next(NOW).unwrap();
    assert_eq!(second.records, [3, 7, 500, 501]);
    settle(&mut run, &second, all(&second), true);
    assert!(!run.has_waiting());
    let Sent { fates, counts } = run.finish(true);
    assert!(fates.iter().all(|fate| *fate == Fate::Taken));
    let expected = SentCounts { taken: 502, requests: 2, retried: 2, throttled: 1, bytes: 502, refused: 0 };
    assert_eq!(counts, expected);
}

#[test]
fn what_failed_waits_for_its_time() {
    let mut run = ledger(&[1, 1], 10);
    let first = run.next(NOW).unwrap();
    let later = Duration::from_millis(80);
    run.settle(first, failed(THROTTLED), false, |tries| later * tries);
    assert!(!run.has_ready(NOW) && run.has_waiting() && run.next(NOW).is_none());
    assert_eq!(run.next_ready(), Some(later));
    assert_eq!(run.next(later).unwrap().records, [0, 1]);
}

#[test]
fn an_answer_of_another_length_is_not_trusted() {
    let mut run = ledger(&[1, 1, 1], 10);
    let first = run.next(NOW).unwrap();
    assert_eq!(settle(&mut run, &first, Outcome::Answers(vec![Answer::Taken; 2]), false), Mood::Busy);
    assert_eq!(next(&mut run), [0, 1, 2]);
    let Fate::Open { error } = &run.finish(false).fates[0] else { panic!() };
    assert!(error.contains("about 2 records and not about the 3 sent"), "{error}");
}

#[test]
fn a_record_that_is_not_understood_is_found_and_the_others_are_taken() {
    let mut run = ledger(&[1; 9], 100);
    let (mut taken, mut requests) = (Vec::<usize>::new(), 0);
    while let Some(request) = run.next(NOW) {
        requests += 1;
        let bad = request.records.contains(&5);
        taken.extend(request.records.iter().filter(|_| !bad));
        let outcome = if bad { failed(Verdict::Bad) } else { all(&request) };
        settle(&mut run, &request, outcome, !taken.is_empty());
    }
    assert_eq!((taken.len(), requests), (8, 7));
    let sent = run.finish(true);
    assert!(matches!(&sent.fates[5], Fate::Refused { error } if error.contains("told")), "{:?}", sent.fates);
    assert_eq!((sent.counts.taken, sent.counts.refused), (8, 1));
}

#[test]
fn what_understands_no_request_is_no_reason_to_refuse_records() {
    let mut run = ledger(&[1; 500], 1000);
    let mut requests = 0;
    while let Some(request) = run.next(NOW) {
        requests += 1;
        settle(&mut run, &request, failed(Verdict::Bad), false);
    }
    assert_eq!(requests, 11);
    let sent = run.finish(false);
    assert!(sent.fates.iter().all(|fate| matches!(fate, Fate::Open { error } if error.contains("endpoint"))));
}

#[test]
fn one_that_was_suspected_first_is_refused_once_another_is_taken() {
    let mut run = ledger(&[1; 2], 1000);
    let pair = run.next(NOW).unwrap();
    settle(&mut run, &pair, failed(Verdict::Bad), false);
    let (bad, good) = (run.next(NOW).unwrap(), run.next(NOW).unwrap());
    settle(&mut run, &bad, failed(Verdict::Bad), false);
    settle(&mut run, &good, all(&good), true);
    let fates = run.finish(true).fates;
    assert!(matches!(fates[0], Fate::Refused { .. }) && fates[1] == Fate::Taken);
}

#[test]
fn what_only_an_operator_can_mend_ends_the_run_with_what_to_do() {
    let mut run = ledger(&[1; 600], 1000);
    let (first, second) = (run.next(NOW).unwrap(), run.next(NOW).unwrap());
    settle(&mut run, &first, failed(Verdict::Stop { advice: "do this" }), false);
    assert!(run.next(NOW).is_none() && !run.has_waiting() && !run.has_ready(NOW));
    settle(&mut run, &second, all(&second), true);
    let sent = run.finish(true);
    let open = Fate::Open { error: "told; do this".to_owned() };
    assert!(sent.fates[..500].iter().all(|fate| *fate == open));
    assert_eq!(sent.counts.taken, 100);
}

#[test]
fn a_silence_does_not_hide_what_was_said_before() {
    let mut run = ledger(&[1], 10);
    for outcome in [failed(THROTTLED), Outcome::Silence { told: "no answer".to_owned() }] {
        let request = run.next(NOW).unwrap();
        settle(&mut run, &request, outcome, false);
    }
    let Fate::Open { error } = &run.finish(false).fates[0] else { panic!() };
    assert_eq!(error, "told; wait; after that no answer");
}

#[test]
fn one_hot_shard_does_not_slow_the_others_down() {
    let outcome = |throttled: usize| {
        let mut answers = vec![Answer::Taken; 100];
        answers[..throttled].fill(answer(THROTTLED));
        Outcome::Answers(answers)
    };
    let mood = |throttled| {
        let mut run = ledger(&[1; 100], 1000);
        let request = run.next(NOW).unwrap();
        settle(&mut run, &request, outcome(throttled), true)
    };
    assert_eq!((mood(24), mood(25)), (Mood::Fine, Mood::Busy));
}

/// A stream that fails in every way there is, and what it has got.
struct Double {
    random: u64,
    bad: Vec<bool>,
    stored: Vec<u32>,
    silences: Vec<u32>,
}

impl Double {
    /// Less than `most`.
    fn random(&mut self, most: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % most
    }

    fn put(&mut self, request: &Request) -> Outcome {
        if request.records.iter().any(|&index| self.bad[index]) {
            return failed(Verdict::Bad);
        }
        match self.random(10) {
            0 => failed(THROTTLED),
            1 => {
                let stored = self.random(2) == 0;
                for &index in &request.records {
                    self.silences[index] += 1;
                    self.stored[index] += u32::from(stored);
                }
                let nothing = Outcome::Silence { told: "nothing".to_owned() };
                let short = Outcome::Answers(vec![Answer::Taken; request.records.len() - 1]);
                if self.random(2) == 0 { nothing } else { short }
            }
            _ => {
                let answers = request.records.iter().map(|&index| match self.random(5) {
                    0 => answer(THROTTLED),
                    1 => answer(Verdict::Later),
                    _ => {
                        self.stored[index] += 1;
                        Answer::Taken
                    }
                });
                Outcome::Answers(answers.collect())
            }
        }
    }
}

proptest! {
    /// Whatever fails: in the end each record is in the stream or refused for its own sake, and once but for
    /// the times that nobody knows of. On the way limits hold, and no record is in two requests at once.
    #[test]
    fn every_record_has_its_fate_and_none_is_sent_without_need(
        records in prop_oneof![
            prop::collection::vec((1_usize..40, prop::bool::weighted(0.002)), 0..1300),
            prop::collection::vec((1_usize..5000, prop::bool::weighted(0.05)), 0..80),
        ],
        seed in any::<u64>(),
    ) {
        const MOST: usize = 5000;
        let count = records.len();
        let mut double = Double {
            random: seed,
            bad: records.iter().map(|(_, bad)| *bad).collect(),
            stored: vec![0; count],
            silences: vec![0; count],
        };
        let mut run = Ledger::new(records.iter().map(|(size, _)| Ok(*size)), MOST);
        let (mut now, mut sends, mut under_way) = (NOW, vec![0_u32; count], Vec::new());
        // On its way, or done with.
        let mut busy = vec![false; count];
        loop {
            if under_way.len() < 4 && let Some(request) = run.next(now) {
                let bytes: usize = request.records.iter().map(|&index| records[index].0).sum();
                prop_assert!((1..=REQUEST_RECORDS).contains(&request.records.len()) && bytes <= MOST);
                prop_assert!(request.records.is_sorted_by(|a, b| a < b));
                for &index in &request.records {
                    prop_assert!(!busy[index]);
                    busy[index] = true;
                    sends[index] += 1;
                }
                under_way.push(request);
                continue;
            }
            if under_way.is_empty() {
                let Some(ready) = run.next_ready().filter(|_| run.has_waiting()) else { break };
                now = ready;
                continue;
            }
            let at = double.random(under_way.len());
            let request = under_way.swap_remove(at);
            let outcome = double.put(&request);
            let wait = Duration::from_millis(double.random(50) as u64);
            run.settle(request.clone(), outcome, true, |_| now + wait);
            for &index in &request.records {
                busy[index] = run.slots[index].fate.is_some();
            }
        }
        let Sent { fates, counts } = run.finish(true);
        prop_assert_eq!(fates.len(), count);
        for (index, fate) in fates.iter().enumerate() {
            match fate {
                Fate::Taken => {
                    let stored = double.stored[index];
                    prop_assert!(!double.bad[index] && stored >= 1 && stored <= 1 + double.silences[index]);
                }
                Fate::Refused { .. } => prop_assert!(double.bad[index] && double.stored[index] == 0),
                Fate::Open { error } => prop_assert!(false, "{index} is open: {error}"),
            }
        }
        let bytes = |taken: &Fate, size: usize| if *taken == Fate::Taken { size as u64 } else { 0 };
        prop_assert_eq!(counts.taken + counts.refused, count as u64);
        prop_assert_eq!(counts.bytes, fates.iter().zip(&records).map(|(fate, (size, _))| bytes(fate, *size)).sum::<u64>());
        prop_assert_eq!(counts.retried, sends.iter().map(|sends| u64::from(sends - 1)).sum::<u64>());
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::patience::RETRY_WINDOW;
use crate::verdict::{SHARDS, Verdict};

type Play = dyn Fn(usize, &[Record]) -> (Duration, Outcome) + Send + Sync;

/// A stream as a test plays it: for each request, when it answers and what.
struct Double {
    play: Box<Play>,
    requests: Mutex<Vec<(Duration, usize)>>,
    start: Instant,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl std::fmt::Debug for Double {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Double")
    }
}

#[async_trait]
impl Stream for Double {
    async fn put(&self, records: Vec<Record>) -> Outcome {
        let (wait, outcome) = {
            let mut requests = self.requests.lock().unwrap();
            requests.push((self.start.elapsed(), records.len()));
            (self.play)(requests.len(), &records)
        };
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        tokio::time::sleep(wait).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}

fn sink(
    options: KinesisOptions,
    play: impl Fn(usize, &[Record]) -> (Duration, Outcome) + Send + Sync + 'static,
) -> (KinesisSink, Arc<Double>) {
    let double = Arc::new(Double {
        play: Box::new(play),
        requests: Mutex::default(),
        start: Instant::now(),
        under_way: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    (KinesisSink::over(options, Arc::<Double>::clone(&double)), double)
}

fn options() -> KinesisOptions {
    KinesisOptions::new("trips")
}

fn events(count: usize, bytes: usize) -> Vec<Outgoing<'static>> {
    let event = |record: usize| Outgoing {
        record,
        event_type: "trip",
        key: format!("key-{record}"),
        payload: Cow::Owned(format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)).into_bytes()),
        source: format!("s/{record}"),
        headers: "",
    };
    (0..count).map(event).collect()
}

fn taken(records: &[Record]) -> Outcome {
    Outcome::Answers(vec![Answer::Taken; records.len()])
}

const THROTTLED: Verdict = Verdict::Throttled { advice: SHARDS };
const TICK: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_may_be() {
    let (sink, double) = sink(options(), |_, records| (TICK, taken(records)));
    let sent = sink.send(&events(5_000, 10), MINUTE).await;
    assert_eq!((sent.counts.taken, sent.counts.requests, sent.counts.retried), (5_000, 10, 0));
    assert_eq!(double.most.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn fewer_requests_are_under_way_while_the_stream_throttles() {
    let (sink, double) = sink(options(), |number, records| {
        let throttled = Outcome::Failed { verdict: THROTTLED, told: "slow down".to_owned() };
        (TICK, if number <= 4 { throttled } else { taken(records) })
    });
    let run = events(5_000, 10);
    sink.send(&run[..2_000], MINUTE).await;
    double.most.store(0, Ordering::SeqCst);
    sink.send(&run[..1_000], MINUTE).await;
    assert!(double.most.load(Ordering::SeqCst) <= 3);
    sink.send(&run, MINUTE).await;
    assert_eq!(double.most.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_sent_at_a_time_share_what_may_be_under_way() {
    let (sink, double) = sink(options(), |_, records| (TICK, taken(records)));
    let run = events(2_000, 10);
    let (one, other) = tokio::join!(sink.send(&run, MINUTE), sink.send(&run, MINUTE));
    assert_eq!((one.counts.taken, other.counts.taken), (2_000, 2_000));
    assert_eq!(double.most.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_no_more_bytes_than_kinesis_takes() {
    for (max_record_bytes, most) in [(1 << 20, 5 << 20), (4 << 20, 10 << 20)] {
        let options = KinesisOptions { max_record_bytes, ..options() };
        let (sink, double) = sink(options, move |_, records| {
            let bytes: usize = records.iter().map(|record| record.key.len() + record.data.len()).sum();
            assert!(bytes <= most && bytes > most - (1 << 20) || records.len() < 5, "{bytes}");
            (TICK, taken(records))
        });
        let sent = sink.send(&events(23, 900_000), MINUTE).await;
        assert_eq!(sent.counts.taken, 23);
        assert_eq!(double.requests.lock().unwrap()[0].1, most / 900_100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_kinesis_never_takes_is_refused_unsent_with_what_to_do() {
    let (sink, double) = sink(options(), |_, records| (TICK, taken(records)));
    let mut run = events(5, 10);
    run[1].payload = Cow::Owned(vec![b'x'; 1 << 20]);
    run[2].key = "ü".repeat(257);
    run[3].key = "ü".repeat(256);
    run[4].payload = Cow::Owned(vec![b'x'; 11 << 20]);
    let sent = sink.send(&run, MINUTE).await;
    assert_eq!((&sent.fates[0], &sent.fates[3]), (&Fate::Taken, &Fate::Taken));
    for (index, words) in [
        (1, "bytes with its partition key, more than the 1048576 of a record"),
        (1, "raise the stream's MaxRecordSizeInKiB and TRIPLINE_KINESIS_RECORD_BYTES"),
        (2, "partition by another field"),
        (4, "make the event smaller"),
    ] {
        let Fate::Refused { error } = &sent.fates[index] else { panic!("{:?}", sent.fates[index]) };
        assert!(error.starts_with("the Kinesis stream 'trips': ") && error.contains(words), "{error}");
    }
    assert_eq!((sent.counts.taken, sent.counts.refused), (2, 3));
    assert_eq!(double.requests.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_given_up_and_sent_again() {
    let (sink, double) =
        sink(options(), |number, records| (if number == 1 { MINUTE * 60 } else { TICK }, taken(records)));
    let sent = sink.send(&events(3, 10), MINUTE).await;
    assert_eq!((sent.counts.taken, sent.counts.retried, sent.counts.requests), (3, 3, 2));
    let second = double.requests.lock().unwrap()[1].0;
    let given_up = options().request_timeout;
    assert!(second >= given_up && second <= given_up + RETRY_WINDOW + TICK, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_in_time_and_says_what_kinesis_said() {
    let (sink, _) = sink(options(), |number, records| {
        let throttled = Outcome::Failed { verdict: THROTTLED, told: "slow down".to_owned() };
        (if number < 3 { TICK } else { MINUTE }, if number < 3 { throttled } else { taken(records) })
    });
    let start = Instant::now();
    let sent = sink.send(&events(3, 10), Duration::from_secs(2)).await;
    assert!(start.elapsed() <= Duration::from_millis(2_001), "{:?}", start.elapsed());
    let Fate::Open { error } = &sent.fates[0] else { panic!("{:?}", sent.fates) };
    assert!(error.starts_with("the Kinesis stream 'trips': slow down; add shards"), "{error}");
    assert_eq!(sent.counts.throttled, 6);
    let sent = sink.send(&events(3, 10), Duration::ZERO).await;
    assert!(sent.fates.iter().all(|fate| matches!(fate, Fate::Open { .. })) && sent.counts.requests == 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_come_too_late_is_not_waited_for() {
    let (sink, double) = sink(options(), |_, _| {
        (Duration::ZERO, Outcome::Failed { verdict: THROTTLED, told: "slow down".to_owned() })
    });
    let within = Duration::from_secs(20);
    let start = Instant::now();
    let sent = sink.send(&events(1, 10), within).await;
    assert!(start.elapsed() <= within && sent.counts.taken == 0);
    let last = double.requests.lock().unwrap().last().unwrap().0;
    assert!(start.elapsed() < last + TICK, "{:?} after {last:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_nothing() {
    let (sink, double) = sink(options(), |_, records| (TICK, taken(records)));
    let sent = sink.send(&[], MINUTE).await;
    assert!(sent.fates.is_empty() && double.requests.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_large_request_has_time_for_its_size() {
    let answered = options().request_timeout + Duration::from_secs(5);
    for (bytes, requests) in [(900_000, 1), (10, 2)] {
        let (sink, double) = sink(options(), move |number, records| {
            (if number == 1 { answered } else { TICK }, taken(records))
        });
        let sent = sink.send(&events(5, bytes), MINUTE).await;
        assert_eq!(sent.counts.taken, 5);
        assert_eq!(double.requests.lock().unwrap().len(), requests);
    }
}

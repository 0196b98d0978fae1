//! `tripline run --invoke`: a function behind Lambda's invocation API, which answers as told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Desk, said};
use tripline_test_support::read_request;

const DONE: &str = r#"{"batchItemFailures":[]}"#;

/// An answer: what follows `HTTP/1.1` in its head, and its body. `None`: no answer ever.
type Answer = Option<(&'static str, String)>;

/// An invocation: its path, and the sequence numbers of its event.
type Invocation = (String, Vec<u64>);

/// Functions at a URL, and the invocations so far.
struct Functions {
    url: String,
    seen: Arc<Mutex<Vec<Invocation>>>,
}

impl Functions {
    /// They answer the invocation of this number, path and sequence numbers as told.
    fn new(answer: impl Fn(usize, &str, &[u64]) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn on(
        listener: TcpListener,
        answer: impl Fn(usize, &str, &[u64]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Invocation>>> = Arc::default();
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (path, sequences) = invocation(&mut stream);
                let number = noted.lock().unwrap().len();
                let answer = answer(number, &path, &sequences);
                noted.lock().unwrap().push((path, sequences));
                match answer {
                    Some((head, body)) => write!(
                        stream,
                        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                    .unwrap(),
                    None => unanswered.push(stream),
                }
            }
        });
        Self { url, seen }
    }

    fn sequences(&self) -> Vec<Vec<u64>> {
        self.seen.lock().unwrap().iter().map(|(_, sequences)| sequences.clone()).collect()
    }
}

fn invocation(stream: &mut TcpStream) -> Invocation {
    let (path, body) = read_request(stream);
    let event: Value = serde_json::from_slice(&body).unwrap();
    let sequence = |record: &Value| record["kinesis"]["sequenceNumber"].as_str().unwrap().parse().unwrap();
    let records = event["Records"].as_array().map(|records| records.iter().map(sequence).collect());
    (path, records.unwrap_or_default())
}

fn done() -> Answer {
    Some(("200 OK", DONE.to_owned()))
}

fn function_error() -> Answer {
    Some(("200 OK\r\nX-Amz-Function-Error: Unhandled", r#"{"errorMessage":"it fell over"}"#.to_owned()))
}

/// A file of as many lines in a folder of its own; what a line holds is the function's business.
fn desk(lines: usize) -> Desk {
    let desk = Desk::new("");
    desk.write("in.jsonl", &"{}\n".repeat(lines));
    desk
}

/// What a run of the desk's file prints; the lake, the pipeline and the sinks are the function's.
fn run(desk: &Desk, url: &str, more: &[&str], code: i32) -> String {
    let mut process = desk.command("run");
    process
        .arg("--input")
        .arg(desk.path("in.jsonl"))
        .args(["--invoke", url, "--function", "taxi"])
        .args(more);
    said(&mut process, code)
}

/// The records of batches that were given up.
fn given_up(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect()
}

#[test]
fn every_record_is_done_once_and_in_order_whatever_the_function_answers() {
    let done_so_far: Arc<Mutex<Vec<u64>>> = Arc::default();
    let noted = Arc::clone(&done_so_far);
    let functions = Functions::new(move |number, path, sequences| {
        assert_eq!(path, "/2015-03-31/functions/taxi/invocations");
        let mut noted = noted.lock().unwrap();
        match number {
            0 => Some(("502 Bad Gateway", "the process died".to_owned())),
            1 => function_error(),
            2 => Some(("429 Too Many Requests", "{}".to_owned())),
            3 => {
                noted.extend(&sequences[..4]);
                let failed = json!({"batchItemFailures": [{"itemIdentifier": sequences[4].to_string()}]});
                Some(("200 OK", failed.to_string()))
            }
            _ => {
                noted.extend(sequences);
                done()
            }
        }
    });
    let desk = desk(100);
    let printed = run(&desk, &functions.url, &["--batch-size", "40"], 0);
    assert_eq!(*done_so_far.lock().unwrap(), (1..=100).collect::<Vec<u64>>());
    let lengths: Vec<usize> = functions.sequences().iter().map(Vec::len).collect();
    // Halved twice by the two failures; busy is none.
    assert_eq!(lengths[..5], [40, 20, 10, 10, 6]);
    for part in
        ["records read                 100", "failed                       2", "`tripline audit` does"]
    {
        assert!(printed.contains(part), "{part} is not in:\n{printed}");
    }
    for unknown in ["new in the", "duplicates", "not published"] {
        assert!(!printed.contains(unknown), "nobody said {unknown}:\n{printed}");
    }
}

#[test]
fn the_record_that_makes_a_function_fail_is_found_kept_and_left_behind() {
    let poison = |_: usize, _: &str, sequences: &[u64]| {
        if sequences.contains(&17) { function_error() } else { done() }
    };
    let functions = Functions::new(poison);
    let desk = desk(40);
    let failed = desk.path("failed");
    let options = ["--on-failure", failed.to_str().unwrap(), "--maximum-retry-attempts", "1"];
    let printed = run(&desk, &functions.url, &options, 1);
    assert!(printed.contains("given up                       1   in 1 batches"), "{printed}");
    let kept = given_up(&failed);
    assert_eq!(kept.len(), 1);
    let record = &kept[0];
    assert_eq!(record["KinesisBatchInfo"]["startSequenceNumber"], "17");
    assert_eq!(record["KinesisBatchInfo"]["batchSize"], 1);
    assert_eq!(record["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 2);
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert!(record["requestContext"]["functionArn"].as_str().unwrap().ends_with(":function:taxi"));
    assert_eq!(functions.sequences().last().unwrap().last(), Some(&40), "the run went on behind it");

    // Without splitting, the whole batch.
    let functions = Functions::new(poison);
    let failed = desk.path("failed-whole");
    let options = [
        "--on-failure",
        failed.to_str().unwrap(),
        "--maximum-retry-attempts",
        "0",
        "--bisect-batch-on-function-error",
        "false",
        "--batch-size",
        "20",
    ];
    run(&desk, &functions.url, &options, 1);
    assert_eq!(given_up(&failed)[0]["KinesisBatchInfo"]["batchSize"], 20);
    assert_eq!(functions.sequences(), [(1..=20).collect::<Vec<u64>>(), (21..=40).collect()]);

    // Without a place to keep it, the run ends there.
    let functions = Functions::new(poison);
    let told = run(&desk, &functions.url, &["--maximum-retry-attempts", "1"], 2);
    assert!(told.contains("position 17 on failed 2 times") && told.contains("it fell over"), "{told}");
}

#[test]
fn a_function_that_is_not_there_yet_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let later = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1_500));
        Functions::on(TcpListener::bind(address).unwrap(), |_, _, _| done())
    });
    let options = ["--maximum-retry-attempts", "0", "--status-every", "1"];
    let printed = run(&desk(10), &format!("http://{address}"), &options, 0);
    assert_eq!(later.join().unwrap().sequences(), [(1..=10).collect::<Vec<u64>>()]);
    // A log says so meanwhile.
    assert!(printed.contains("does not answer") && printed.contains("1 source partitions; "), "{printed}");
    assert!(!printed.contains("  failed  "), "it was not invoked: {printed}");
}

#[test]
fn an_invocation_that_takes_too_long_comes_again() {
    let functions = Functions::new(|number, _, _| if number == 0 { None } else { done() });
    let options = ["--invoke-timeout", "1", "--status-every", "0"];
    let printed = run(&desk(10), &functions.url, &options, 0);
    let sequences = functions.sequences();
    assert_eq!(sequences[1..].concat(), (1..=10).collect::<Vec<u64>>());
    assert!(printed.contains("failed                       1"), "{printed}");
    assert!(!printed.contains("source partitions"), "no status lines were asked for: {printed}");
}

#[test]
fn a_function_that_is_not_known_and_a_url_that_is_none_end_the_run() {
    let functions = Functions::new(|_, _, _| Some(("404 Not Found", "no function".to_owned())));
    let told = run(&desk(1), &functions.url, &[], 2);
    assert!(told.contains("404 Not Found") && told.contains("is there a function of that name?"), "{told}");
    let told = run(&desk(1), "127.0.0.1:9000", &[], 2);
    assert!(told.contains("http://"), "{told}");
}

#[test]
fn a_record_larger_than_an_invocation_is_given_up_without_one() {
    let functions = Functions::new(|_, _, _| done());
    let desk = desk(0);
    let large = format!("\"{}\"\n", "x".repeat(5_000_000));
    desk.write("in.jsonl", &format!("{{}}\n{large}{{}}\n"));
    let failed = desk.path("failed");
    let printed = run(&desk, &functions.url, &["--on-failure", failed.to_str().unwrap()], 1);
    assert_eq!(functions.sequences().concat(), [1, 3], "{printed}");
    let kept = given_up(&failed);
    assert_eq!(kept[0]["requestContext"]["condition"], "MaximumPayloadSizeExceeded");
    assert_eq!((kept.len(), &kept[0]["responseContext"]), (1, &Value::Null));
}

#[test]
fn a_function_that_publishes_is_invoked_until_nothing_is_left() {
    let functions = Functions::new(|number, path, _| match (path, number) {
        ("/2015-03-31/functions/taxi/invocations", _) => done(),
        ("/2015-03-31/functions/publish/invocations", 2) => function_error(),
        ("/2015-03-31/functions/publish/invocations", 3) => {
            Some(("200 OK", r#"{"entries":1,"files":3,"rows":20,"more":true,"gaveWay":false}"#.to_owned()))
        }
        _ => Some(("200 OK", r#"{"entries":1,"files":2,"rows":15,"more":false}"#.to_owned())),
    });
    let printed = run(&desk(20), &functions.url, &["--invoke-publish", "publish", "--batch-size", "10"], 0);
    assert_eq!(functions.sequences().iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 0, 0, 0]);
    assert!(printed.contains("files written                  5   35 rows, says the function"), "{printed}");
}

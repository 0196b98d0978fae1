//! Real crashes: `kill -9` at random moments, on a real S3 server, with two ingesters and two publishers
//! at once. `make crash KILLS=200 SEED=1` runs more of it and shows the report.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod chance;
mod feed;
mod report;
mod tool;
mod watcher;
mod worker;

use std::thread;
use std::time::{Duration, Instant};

use tripline_test_support::{S3Server, or_left_out, readers_python};

use chance::Chance;
use feed::Feed;
use report::Report;
use tool::Tool;
use watcher::Watcher;
use worker::{End, Role, Worker};

/// Kills that a plain test run survives.
const KILLS: u64 = 50;
/// How long a kill may take on average before the test is taken for hung.
const PATIENCE_PER_KILL: Duration = Duration::from_secs(20);
/// How often the processes are looked at: this is how exact a moment of death is.
const TICK: Duration = Duration::from_millis(1);

/// Two of each, so that every race for an entry's number and for the checkpoint is run.
const ROLES: [Role; 4] = [Role::Ingester, Role::Ingester, Role::Publisher, Role::Publisher];

fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number"))
        }
        _ => default,
    }
}

#[test]
fn every_trip_is_there_once_however_often_processes_are_killed() {
    let name = "every_trip_is_there_once_however_often_processes_are_killed";
    let (kills, seed) = (variable("KILLS", KILLS), variable("SEED", 0));
    let Some(server) = or_left_out(name, S3Server::start()) else { return };
    let Some(python) = or_left_out(name, readers_python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut feed = Feed::start(&folder.path().join("input"));
    let tool = Tool::new(&server, folder.path());
    let mut watcher = Watcher::start(&python, &server, &tool, feed.folder());
    let mut chance = Chance::new(seed);
    let mut report = Report::new(seed);

    let mut workers: Vec<Worker> =
        ROLES.iter().map(|&role| Worker::start(role, &tool, &feed, &mut chance)).collect();
    let end = Instant::now() + PATIENCE_PER_KILL * u32::try_from(kills).unwrap();
    while report.kills() < kills {
        assert!(Instant::now() < end, "only {} of {kills} kills in time", report.kills());
        watcher.check();
        for worker in &mut workers {
            let Some(end) = worker.poll() else { continue };
            report.add(worker, &end);
            // What is read next is there before the process that reads it.
            feed.grow(report.kills() + 1, kills);
            *worker = Worker::start(worker.role(), &tool, &feed, &mut chance);
        }
        thread::sleep(TICK);
    }

    feed.grow(1, 1);
    for worker in &mut workers {
        let end = worker.finish();
        report.add(worker, &end);
    }
    for role in [Role::Ingester, Role::Publisher] {
        let mut last = [(); 2].map(|()| Worker::start(role, &tool, &feed, &mut chance));
        for worker in &mut last {
            assert!(matches!(worker.finish(), End::Finished), "{}", worker.said());
            report.add(worker, &End::Finished);
        }
    }
    let audit = tool.audit();
    let seen = watcher.compare();
    report.print(&audit, &seen);
    assert_eq!(seen.rows, feed.rows(), "rows in the lake");
    assert!(report.kills_at_work() > 0, "no kill hit anything but a start-up");
}

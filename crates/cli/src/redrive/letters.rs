//! Dead letters, sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tripline_ingest::Place;
use tripline_lake::Lake;
use tripline_lake::clock::{Clock, SystemClock};
use tripline_lake::redrive::{
    Filter, LetterGroup, Redrive, RedriveState, Selection, Sent, first_origin, letters_origin,
};
use tripline_lake::store::ObjectStore;
use tripline_model::decode::Stage;
use tripline_model::source::SourceRecord;
use tripline_model::time::rfc3339;

use super::send::Senders;
use crate::send::{Outcome, send as send_records};
use crate::text::grouped;

/// How often somebody else's redrive may come first before this one is given up.
const TRIES: u32 = 5;

/// Letters by stage, reason and type.
type Tally = BTreeMap<(&'static str, String, String), u64>;

pub(super) async fn list(store: &dyn ObjectStore) -> anyhow::Result<ExitCode> {
    let history = Selection::history(store).await?;
    if history.is_empty() {
        println!("no redrive yet");
    }
    for redrive in history {
        let outcome = match redrive.state {
            RedriveState::Running => "not finished: the next redrive begins with it".to_owned(),
            RedriveState::Done { at_ms, sent } => format!(
                "{} letters sent by {}; {} failed again",
                grouped(sent.letters),
                rfc3339(at_ms),
                grouped(sent.failed_again)
            ),
        };
        let Redrive { number, begun_at_ms, filter, sinks, .. } = &redrive;
        println!("{number:>4}  {}  {filter}, to {}: {outcome}", rfc3339(*begun_at_ms), joined(sinks));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn send(
    lake: &Lake,
    senders: &Senders,
    filter: Filter,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    let store: &dyn ObjectStore = &**lake.store();
    if dry_run {
        let selection =
            Selection::preview(store, filter, senders.names.clone(), SystemClock.now_ms()).await?;
        let tally = tally(store, &selection).await?;
        print(&tally, "would be sent");
        return Ok(ExitCode::SUCCESS);
    }
    // One that died goes first: its letters are its own.
    while let Some(unfinished) = Selection::unfinished(store).await? {
        let Redrive { number, filter, sinks, .. } = &unfinished.redrive;
        println!("redrive {number}, which was not finished: {filter}");
        if !sinks.is_subset(&senders.names) {
            bail!(
                "it was begun for {}: finish it with these sinks (--opensearch, TRIPLINE_SINKS)",
                joined(sinks)
            );
        }
        carry_out(lake, senders, &unfinished).await?;
    }
    for _ in 0..TRIES {
        let (now_ms, sinks) = (SystemClock.now_ms(), senders.names.clone());
        let mut selection = Selection::preview(store, filter.clone(), sinks, now_ms).await?;
        let tally = tally(store, &selection).await?;
        if tally.is_empty() {
            println!("nothing to send: no published dead letter passes, or all were sent before");
            return Ok(ExitCode::SUCCESS);
        }
        check_stages(&tally, senders)?;
        if selection.begin(store).await? {
            print(&tally, &format!("to be sent to {}", joined(&senders.names)));
            carry_out(lake, senders, &selection).await?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    bail!("other redrives began at the same time, again and again; try again when they are done")
}

/// A letter that a sink refused needs that sink.
fn check_stages(tally: &Tally, senders: &Senders) -> anyhow::Result<()> {
    for stage in Stage::ALL {
        let of_stage = tally.iter().filter(|((code, ..), _)| *code == stage.code());
        let letters: u64 = of_stage.map(|(_, count)| count).sum();
        if letters > 0 {
            let sender = senders.of_stage(stage);
            sender.map_err(|how| anyhow!("{} of the dead letters {how}", grouped(letters)))?;
        }
    }
    Ok(())
}

async fn tally(store: &dyn ObjectStore, selection: &Selection) -> anyhow::Result<Tally> {
    let mut tally = Tally::new();
    for round in selection.rounds() {
        for group in selection.letters(store, &round).await? {
            for letter in group.letters {
                let event_type = letter.event_type.unwrap_or_else(|| "-".to_owned());
                *tally.entry((group.stage.code(), letter.reason, event_type)).or_default() += 1;
            }
        }
    }
    Ok(tally)
}

fn joined(sinks: &BTreeSet<String>) -> String {
    sinks.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
}

fn print(tally: &Tally, what: &str) {
    println!("{} dead letters {what}", grouped(tally.values().sum()));
    for ((stage, reason, event_type), count) in tally {
        println!("{:>12}  {stage:<8}{reason:<22}{event_type}", grouped(*count));
    }
}

async fn carry_out(lake: &Lake, senders: &Senders, selection: &Selection) -> anyhow::Result<()> {
    let store: &dyn ObjectStore = &**lake.store();
    let rounds = selection.rounds();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} commits  {elapsed}  {wide_msg}");
    // Drawn to standard error, and only to a terminal.
    let bar = ProgressBar::new(rounds.len() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut letters = 0;
    let mut outcome = Outcome::default();
    for round in rounds {
        for group in selection.letters(store, &round).await? {
            outcome.add(&send_group(senders, selection.redrive.number, &group).await?);
            letters += group.letters.len() as u64;
            bar.set_message(format!("{} letters sent", grouped(letters)));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sent = Sent { letters, failed_again: outcome.dead_letters, sent_before: outcome.duplicates };
    selection.finish(store, SystemClock.now_ms(), sent).await?;
    println!(
        "redrive {}: {} letters sent; {outcome} again, {} sent before",
        selection.redrive.number,
        grouped(letters),
        grouped(outcome.duplicates),
    );
    if outcome.rows + outcome.dead_letters > 0 {
        println!("they are in the journal: the next run of publish makes them visible");
    }
    Ok(())
}

async fn send_group(senders: &Senders, number: u64, group: &LetterGroup) -> anyhow::Result<Outcome> {
    let ingest = senders.of_stage(group.stage).map_err(|how| anyhow!("dead letters {how}"))?;
    let lane = letters_origin(&group.origin, number, group.stage);
    let records: Vec<SourceRecord<'_>> = group.letters.iter().map(|letter| letter.record()).collect();
    send_records(ingest, Place { lane: &lane, first: &first_origin(&group.origin) }, &records).await
}

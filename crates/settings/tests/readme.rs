//! The README's lists are those of the code.
//!
//! `UPDATE_README=1 cargo test -p tripline-settings --test readme` writes the generated part again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tripline_model::decode::Reason;
use tripline_settings::{ALIASES, variables};

const BEGIN: &str = "<!-- begin configuration: written by a test of crates/settings -->\n";
const END: &str = "<!-- end configuration -->\n";

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

fn configuration() -> String {
    let mut out = String::from("| variable | if not set | what it does |\n|---|---|---|\n");
    for variable in variables() {
        let cells = [variable.default, variable.about].map(|cell| cell.replace('|', "\\|"));
        writeln!(out, "| `{}` | {} | {} |", variable.name, cells[0], cells[1]).unwrap();
    }
    let aliases: Vec<String> =
        ALIASES.iter().map(|(theirs, ours)| format!("`{theirs}` for `{ours}`")).collect();
    write!(out, "\nTaken where the own name is not set: {}.\n", aliases.join(", ")).unwrap();
    out
}

#[test]
fn the_configuration_table_is_that_of_the_code() {
    let text = fs::read_to_string(readme()).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("README.md has the mark where the table begins");
    let (written, after) = rest.split_once(END).expect("README.md has the mark where the table ends");
    let wanted = configuration();
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(readme(), format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, wanted, "run: UPDATE_README=1 cargo test -p tripline-settings --test readme");
    }
}

#[test]
fn every_reason_of_a_dead_letter_is_explained() {
    let text = fs::read_to_string(readme()).unwrap();
    let (_, rest) =
        text.split_once("| reason | what is wrong |\n").expect("README.md has a table of reasons");
    let table = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    let explained: Vec<&str> = table.filter_map(|line| line.split('`').nth(1)).collect();
    // `batch-full` is no record's fault, and never a dead letter.
    let all: Vec<&str> = Reason::ALL
        .iter()
        .filter(|&&reason| reason != Reason::BatchFull)
        .map(|reason| reason.code())
        .collect();
    assert_eq!(explained, all);
}

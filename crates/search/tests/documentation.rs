//! The documentation's tables are those of the code.
//!
//! `UPDATE_README=1 cargo test -p tripline-search --test documentation` writes the generated part again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::Path;

use tripline_search::verdict::{RULES, Scope};

const BEGIN: &str = "<!-- begin verdicts: written by a test of crates/search -->\n";
const END: &str = "<!-- end verdicts -->\n";

fn table() -> String {
    let mut out = String::from("| about | status | when | what follows |\n|---|---|---|---|\n");
    for rule in RULES {
        let scope = match rule.scope {
            Scope::Item => "a document",
            Scope::Request => "a request",
        };
        let status = match rule.statuses {
            (from, to) if from == to => from.to_string(),
            (200, 299) => "2xx".to_owned(),
            (400, 499) => "any other 4xx".to_owned(),
            (500, 599) => "any other 5xx".to_owned(),
            _ => "any other".to_owned(),
        };
        let actions: Vec<String> = rule.actions.iter().map(|act| format!(" of `{}`", act.name())).collect();
        let (when, follows) = (rule.when, rule.verdict.about());
        writeln!(out, "| {scope}{} | {status} | {when} | {follows} |", actions.concat()).unwrap();
    }
    out.push_str("| a request | none, or an answer not about what was sent | the outcome is unknown | ");
    writeln!(out, "{} |", tripline_search::verdict::Verdict::RetryUnknown.about()).unwrap();
    out
}

#[test]
fn the_table_of_verdicts_is_that_of_the_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/search.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/search.md has the mark where the table begins");
    let (written, after) = rest.split_once(END).expect("docs/search.md has the mark where the table ends");
    let wanted = table();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        let update = "UPDATE_README=1 cargo test -p tripline-search --test documentation";
        assert_eq!(written, wanted, "run: {update}");
    }
}

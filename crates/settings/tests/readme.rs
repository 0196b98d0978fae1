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

#[test]
fn every_variable_that_the_documents_name_is_there() {
    let known: Vec<&str> = variables().map(|variable| variable.name).collect();
    let is_part = |character: char| matches!(character, 'A'..='Z' | '0'..='9' | '_');
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for word in text.split('`').filter(|word| !word.contains(char::is_whitespace)) {
            let end = |rest: &str| rest.find(|character| !is_part(character)).unwrap_or(rest.len());
            // Whole, or the end of one: `…_BULK_BYTES`.
            let found = match (word.strip_prefix("TRIPLINE_"), word.strip_prefix('…')) {
                // Of a family: `TRIPLINE_KAFKA_…`.
                (Some(rest), _) if rest[end(rest)..].starts_with('…') => {
                    known.iter().any(|name| name.starts_with(&word[..9 + end(rest)]))
                }
                // What `infra`'s tests read.
                (Some("TF_MIRROR"), _) => continue,
                (Some(rest), _) => known.contains(&&word[..9 + end(rest)]),
                (None, Some(rest)) if rest.starts_with('_') => known.iter().any(|name| name.ends_with(rest)),
                _ => continue,
            };
            named += 1;
            assert!(found, "{}: there is no `{word}`", document.display());
        }
    }
    assert!(named > 100, "the documents name {named}");
}

/// Every document for people, those of `docs` and its folders among them.
fn documents() -> Vec<PathBuf> {
    let root = readme().parent().unwrap().to_owned();
    let named = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "fuzz/README.md",
        "infra/README.md",
        "tests/servers/README.md",
    ];
    let mut documents: Vec<PathBuf> = named.iter().map(|name| root.join(name)).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// A heading as the end of a link to it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.flat_map(char::to_lowercase)
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

#[test]
fn every_link_within_the_documents_leads_somewhere() {
    let mut links = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: there is no {link}", document.display());
            links += 1;
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|found| found == heading), "{}: there is no {link}", document.display());
            }
        }
    }
    assert!(links > 20, "there are {links} links");
}

//! What docs/guarantees.md says of the code is so.
//!
//! `UPDATE_DOCS=1 cargo test -p tripline-lake --test guarantees` writes the generated part again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tripline_lake::invariants::Invariant;

const BEGIN: &str = "<!-- begin invariants: written by a test of crates/lake -->\n";
const END: &str = "<!-- end invariants -->\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> (PathBuf, String) {
    let path = repository().join("docs/guarantees.md");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_invariants_are_those_of_the_registry() {
    let (path, text) = document();
    let mut wanted = String::from("| id | what must hold |\n|---|---|\n");
    for invariant in Invariant::ALL {
        writeln!(wanted, "| {} | {} |", invariant.id(), invariant.statement()).unwrap();
    }
    let (before, rest) = text.split_once(BEGIN).expect("the document has the mark where the table begins");
    let (written, after) = rest.split_once(END).expect("the document has the mark where the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, wanted, "run: UPDATE_DOCS=1 cargo test -p tripline-lake --test guarantees");
    }
}

/// All Rust sources of the repository.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, into);
            }
        } else if name.ends_with(".rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let (_, text) = document();
    let mut code = String::new();
    sources(&repository(), &mut code);
    // `a_test_s_name`, or its beginning and `…`.
    let is_name = |name: &&str| name.matches('_').count() >= 3 && !name.contains(['/', '.', ' ', '=']);
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let function = match name.strip_suffix('…') {
            Some(beginning) => format!("fn {beginning}"),
            None => format!("fn {name}("),
        };
        assert!(code.contains(&function) || name.starts_with("TRIPLINE_"), "there is no test {name}");
    }
}

//! The help of every command: that it teaches by examples, and that what it teaches is right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::process::{Command, Stdio};

use tripline_cli::command;

/// Words of a line as a shell takes them apart; what is behind `>` is the shell's.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.split(" > ").next().unwrap().chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    assert!(!quoted, "{line}");
    words.push(word);
    words
}

#[test]
fn every_command_has_examples_that_parse_and_tells_its_exit_codes() {
    let mut commands = 0;
    for found in command().get_subcommands() {
        let name = found.get_name();
        let help = found.get_after_long_help().unwrap_or_else(|| panic!("{name}: no help")).to_string();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  tripline ")).collect();
        assert!(!examples.is_empty(), "{name}: {help}");
        for example in examples {
            let words = words(&format!("tripline {example}"));
            assert_eq!(words[1], name, "{example}");
            if let Err(error) = command().try_get_matches_from(&words) {
                panic!("{example}: {error}");
            }
        }
        assert!(
            help.contains("Exit codes: 0 all is well; ") && help.contains("; 2 it could not"),
            "{name}: {help}"
        );
        commands += 1;
    }
    assert!(commands >= 16, "{commands}");
    command().debug_assert();
}

#[test]
fn every_command_is_in_the_page_of_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    for found in command().get_subcommands() {
        let name = format!("`tripline {}", found.get_name());
        assert!(page.contains(&name), "{name} is not in docs/cli.md");
    }
}

fn tripline(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tripline")).args(arguments).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn what_cannot_be_understood_ends_with_2_and_help_with_0() {
    let (code, said) = tripline(&["stauts"]);
    assert!(code == Some(2) && said.contains("'status'"), "{said}");
    let (code, said) = tripline(&["status", "--max-lag", "soon"]);
    assert!(code == Some(2) && said.contains("--max-lag"), "{said}");
    let (code, said) = tripline(&["status", "--help"]);
    assert!(code == Some(0) && said.contains("--max-lag 15m --json"), "{said}");
}

#[test]
fn completions_are_what_the_shell_takes() {
    for (shell, part) in [
        ("bash", "complete -F _tripline"),
        ("zsh", "#compdef tripline"),
        ("fish", "complete -c tripline"),
        ("elvish", "edit:completion:arg-completer[tripline]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let (code, script) = tripline(&["completions", shell]);
        assert!(code == Some(0) && script.contains(part) && script.contains("redrive"), "{shell}: {script}");
    }
    // The one shell that is everywhere reads its own, and completes by it.
    let script = "source <(\"$0\" completions bash) && COMP_WORDS=(tripline sta) COMP_CWORD=1 && _tripline tripline sta \
                  tripline && echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_tripline")])
        .stdin(Stdio::null())
        .output();
    let output = bash.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "status", "{output:?}");
}

#[test]
fn each_command_has_a_man_page_with_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let (code, said) = tripline(&["man", pages.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    for found in command().get_subcommands() {
        let page = std::fs::read_to_string(pages.join(format!("tripline-{}.1", found.get_name()))).unwrap();
        assert!(page.contains(".TH") && page.contains("Examples:") && page.contains("Exit codes"), "{page}");
    }
    assert!(pages.join("tripline.1").is_file());
}

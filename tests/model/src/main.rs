//! `make model`: explores all bounds completely, then looks for every mutant.

use std::process::ExitCode;
use std::time::Instant;

use protocol_model::{Mutant, Protocol, first_violation};
use stateright::{Checker, Model};

fn main() -> ExitCode {
    let mut is_right = true;
    let bounds = [
        ("append", Protocol::append()),
        ("zombie", Protocol::zombie()),
        ("refusal", Protocol::refusal()),
        ("publish", Protocol::publish()),
        ("together", Protocol::together()),
    ];
    let only = std::env::args().nth(1);
    for (name, bounds) in bounds {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let began = Instant::now();
        let checker = bounds.checker().threads(threads()).spawn_bfs().join();
        println!(
            "{name:<10} {:>12} states, depth {:>3}, {:>6.1} s",
            checker.unique_state_count(),
            checker.max_depth(),
            began.elapsed().as_secs_f64()
        );
        for property in bounds.properties() {
            let found = checker.discovery(property.name);
            let holds = found.is_some() == (property.expectation == stateright::Expectation::Sometimes);
            if !holds {
                is_right = false;
                println!("  FAILS: {}", property.name);
                if let Some(path) = found {
                    println!("{:#?}", path.into_actions());
                }
            }
        }
    }
    for mutant in Mutant::ALL.into_iter().filter(|_| only.is_none()) {
        match first_violation(mutant.bounds()) {
            Some((property, steps)) => println!("{mutant:?}: caught in {steps} steps: {property}"),
            None => {
                is_right = false;
                println!("{mutant:?}: NOT caught");
            }
        }
    }
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

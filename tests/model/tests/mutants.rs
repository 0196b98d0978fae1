//! The model can fail: each step that is left out is found.

use protocol_model::{Mutant, first_violation};

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let violation = first_violation(mutant.bounds());
        let (property, steps) = violation.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        println!("{mutant:?}: {property}, in {steps} steps");
    }
}

//! The environment's variables, as the functions would read them.

use tripline_settings::{Settings, environment_variables};

use super::DoctorArguments;
use super::findings::Findings;

const ABOUT: &str = "variables";

/// The settings that a function with this environment would have.
pub(super) fn check(arguments: &DoctorArguments, findings: &mut Findings) -> Option<Settings> {
    let named = [
        ("TRIPLINE_PIPELINE".to_owned(), arguments.lake.pipeline.display().to_string()),
        ("TRIPLINE_LAKE".to_owned(), arguments.lake.lake.clone()),
    ];
    match Settings::from_variables(environment_variables().chain(named)) {
        Ok(settings) => {
            let is_own = |name: &str| name.starts_with("TRIPLINE_");
            let count = environment_variables().filter(|(name, _)| is_own(name)).count();
            findings.ok(
                ABOUT,
                format!("{count} variables TRIPLINE_… of this environment, none unknown or contradictory"),
            );
            Some(settings)
        }
        Err(error) => {
            error.faults().iter().for_each(|fault| findings.fail(ABOUT, fault.clone(), ""));
            None
        }
    }
}

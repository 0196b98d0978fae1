//! What is wrong with an environment.

use std::fmt;

/// Everything that is wrong with the environment, at once.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    pub(crate) faults: Vec<String>,
}

impl SettingsError {
    /// What is wrong, a sentence each.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the environment is not right: {}", self.faults.join("; "))
    }
}

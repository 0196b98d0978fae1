//! What a check came to.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Ok,
    /// It cannot be made, or not without harm.
    NotChecked,
    /// It works, and will be regretted.
    Warn,
    /// It does not work, or loses records.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What it is about, in a word or two.
    pub(super) about: &'static str,
    pub(super) what: String,
    /// What to do; empty where nothing is to be done, or the text before says it.
    pub(super) fix: String,
}

/// Everything that was found, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Verdict::Ok, about, what, "");
    }

    pub(super) fn warn(&mut self, about: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Warn, about, what, fix);
    }

    pub(super) fn fail(&mut self, about: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Fail, about, what, fix);
    }

    pub(super) fn not_checked(&mut self, about: &'static str, why: impl Into<String>) {
        self.add(Verdict::NotChecked, about, why, "");
    }

    fn add(
        &mut self,
        verdict: Verdict,
        about: &'static str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding { verdict, about, what: what.into(), fix: fix.into() });
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }

    /// For people: a line each, and a sum.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for Finding { verdict, about, what, fix } in &self.0 {
            let fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
            let _ = writeln!(out, "{:<11} {about}: {what}{fix}", verdict.name());
        }
        let counts = [Verdict::Ok, Verdict::Warn, Verdict::Fail, Verdict::NotChecked]
            .map(|verdict| format!("{} {}", self.count(verdict), verdict.name().to_lowercase()));
        let _ = writeln!(out, "doctor: {}", counts.join(", "));
        out
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let found = self.0.iter().map(|Finding { verdict, about, what, fix }| {
            let fix = (!fix.is_empty()).then_some(fix);
            json!({ "verdict": verdict.name().to_lowercase(), "about": about, "what": what, "fix": fix })
        });
        json!({ "fails": self.count(Verdict::Fail), "warns": self.count(Verdict::Warn), "findings": found.collect::<Vec<_>>() })
    }
}

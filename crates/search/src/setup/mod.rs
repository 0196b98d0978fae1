//! Prepares a cluster for a pipeline's documents: index templates, and a policy that deletes old indices.
//!
//! What is there already and says the same is left alone, so that it can be done at every deployment.

mod difference;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Value, json};
use tripline_model::pipeline::{IndexName, Pipeline};

pub use difference::differences;

use crate::cluster::Answer;
use crate::environment::Environment;
use crate::error::SearchError;
use crate::options::SearchOptions;
use crate::reply;
use crate::template::templates;
use crate::transport::Transport;
use crate::verdict::advice;

/// What to prepare besides the templates.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetupOptions {
    /// Deletes indices so many days after they were made, by a policy of Index State Management.
    pub delete_after_days: Option<u32>,
}

/// The cluster, for preparing it.
#[derive(Debug)]
pub struct Setup {
    transport: Transport,
    timeout: Duration,
}

/// One thing to prepare.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it is, in words.
    pub what: String,
    /// Its path on the cluster.
    pub path: String,
    /// What it is to be.
    pub body: Value,
    /// What is to be done.
    pub change: Change,
    /// What a change must be of, where the cluster counts its changes.
    version: Option<(u64, u64)>,
}

/// What is to be done about a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there as it is to be.
    None,
    /// It is not there.
    Create,
    /// It says other things, a line each.
    Replace(Vec<String>),
}

/// The cluster could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// It did not answer.
    #[error("cannot {action} {path}: {reason}")]
    NoAnswer {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// It refused.
    #[error("cannot {action} {path}: {status} {reason}; {advice}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// The status of its answer.
        status: u16,
        /// What it said.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// Its answer makes no sense.
    #[error("cannot read {path}: the answer is not that of an OpenSearch cluster: {reason}")]
    Unreadable {
        /// Where.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Setup {
    /// Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// [`SearchError`] with everything that is wrong with the options.
    pub async fn connect(options: &SearchOptions, environment: Environment) -> Result<Self, SearchError> {
        let transport = Transport::connect(options, &environment).await?;
        Ok(Self { transport, timeout: options.request_timeout })
    }

    /// What there is to do for a pipeline; nothing is written.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn plan(&self, pipeline: &Pipeline, options: &SetupOptions) -> Result<Vec<Step>, SetupError> {
        let mut steps = Vec::new();
        for template in templates(pipeline) {
            let path = format!("/_index_template/{}", template.name);
            let found = self.get(&path).await?;
            let found = found.as_ref().and_then(|found| found.pointer("/index_templates/0/index_template"));
            let change = change(found.map(as_written), &template.body);
            let what = format!("index template {}", template.name);
            steps.push(Step { what, path, body: template.body, change, version: None });
        }
        if let Some(days) = options.delete_after_days {
            steps.push(self.plan_policy(pipeline, days).await?);
        }
        Ok(steps)
    }

    /// The indices of a pipeline that exist and map its fields otherwise than their template, with what would have to
    /// change; nothing is written.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn outdated(&self, pipeline: &Pipeline) -> Result<Vec<(String, Vec<String>)>, SetupError> {
        let mut outdated = Vec::new();
        for template in templates(pipeline) {
            let wanted = template.body.pointer("/template/mappings").unwrap_or(&Value::Null);
            let patterns = template.body.pointer("/index_patterns").and_then(Value::as_array);
            for pattern in patterns.into_iter().flatten().filter_map(Value::as_str) {
                let found = self.get(&format!("/{pattern}/_mapping")).await?;
                for (index, found) in found.as_ref().and_then(Value::as_object).into_iter().flatten() {
                    let found = found.get("mappings").unwrap_or(&Value::Null);
                    // An index may have more than the template says of it.
                    let lines = differences(&only_as_in(found, wanted), wanted);
                    if !lines.is_empty() {
                        outdated.push((index.clone(), lines));
                    }
                }
            }
        }
        Ok(outdated)
    }

    async fn plan_policy(&self, pipeline: &Pipeline, days: u32) -> Result<Step, SetupError> {
        let name = format!("tripline-{}", pipeline.id);
        let path = format!("/_plugins/_ism/policies/{name}");
        let body = policy(pipeline, days);
        let found = self.get(&path).await?;
        let number = |member| found.as_ref()?.get(member)?.as_u64();
        let version = number("_seq_no").zip(number("_primary_term"));
        let said = found.as_ref().and_then(|found| found.get("policy"));
        // The cluster adds its own members to what it was told.
        let known =
            said.map(|said| json!({ "policy": only_as_in(said, body.get("policy").unwrap_or(said)) }));
        let change = change(known, &body);
        Ok(Step { what: format!("policy {name}"), path, body, change, version })
    }

    /// Does what a step says, if anything.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn apply(&self, step: &Step) -> Result<(), SetupError> {
        if step.change == Change::None {
            return Ok(());
        }
        let path = match step.version {
            Some((number, term)) => format!("{}?if_seq_no={number}&if_primary_term={term}", step.path),
            None => step.path.clone(),
        };
        let answer = self.ask("write", http::Method::PUT, &path, step.body.to_string().into_bytes()).await?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(refused("write", &path, &answer)) }
    }

    /// What is at a path; `None` if there is nothing.
    async fn get(&self, path: &str) -> Result<Option<Value>, SetupError> {
        let answer = self.ask("read", http::Method::GET, path, Vec::new()).await?;
        match answer.status {
            404 => Ok(None),
            200..300 => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| SetupError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
            _ => Err(refused("read", path, &answer)),
        }
    }

    async fn ask(
        &self,
        action: &'static str,
        method: http::Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, SetupError> {
        let answer = self.transport.ask(method, path, body, self.timeout).await;
        answer.map_err(|failure| SetupError::NoAnswer {
            action,
            path: path.to_owned(),
            reason: failure.reason,
        })
    }
}

fn refused(action: &'static str, path: &str, answer: &Answer) -> SetupError {
    let advice = match answer.status {
        400 if path.starts_with("/_plugins/_ism") => {
            "the cluster has no Index State Management, or not this version"
        }
        400 => "another template of the same priority may have the same pattern",
        status => advice(status),
    };
    SetupError::Refused {
        action,
        path: path.to_owned(),
        status: answer.status,
        reason: reply::reason(&answer.body),
        advice,
    }
}

fn change(found: Option<Value>, wanted: &Value) -> Change {
    match found {
        None => Change::Create,
        Some(found) if found == *wanted => Change::None,
        Some(found) => Change::Replace(differences(&found, wanted)),
    }
}

/// A template without what the cluster adds to it.
fn as_written(found: &Value) -> Value {
    let mut found = found.clone();
    if let Some(members) = found.as_object_mut() {
        members.retain(|name, value| name != "composed_of" || *value != json!([]));
    }
    found
}

/// What `found` says of the members that `like` has, at all depths.
fn only_as_in(found: &Value, like: &Value) -> Value {
    match (found, like) {
        (Value::Object(found), Value::Object(like)) => {
            let kept = like.iter().filter_map(|(name, like)| Some((name, found.get(name)?, like)));
            Value::Object(kept.map(|(name, found, like)| (name.clone(), only_as_in(found, like))).collect())
        }
        (Value::Array(found), Value::Array(like)) if found.len() == like.len() => {
            found.iter().zip(like).map(|(found, like)| only_as_in(found, like)).collect()
        }
        _ => found.clone(),
    }
}

/// A policy that deletes a pipeline's indices some days after they were made.
fn policy(pipeline: &Pipeline, days: u32) -> Value {
    let indexed = pipeline.events.iter().filter_map(|event| event.search.as_ref());
    let names = indexed.map(|search| &search.index).chain(&pipeline.dead_letter_index);
    let patterns: Vec<String> = names.map(IndexName::pattern).collect();
    json!({
        "policy": {
            "description": format!("written by `tripline setup` for the pipeline {}", pipeline.id),
            "default_state": "kept",
            "states": [
                {
                    "name": "kept",
                    "actions": [],
                    "transitions": [{ "state_name": "deleted", "conditions": { "min_index_age": format!("{days}d") } }],
                },
                { "name": "deleted", "actions": [{ "delete": {} }], "transitions": [] },
            ],
            "ism_template": [{ "index_patterns": patterns, "priority": 100 }],
        }
    })
}

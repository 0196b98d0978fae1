//! What a bucket does by itself: its lifecycle rules and its versions.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{BucketVersioningStatus, ExpirationStatus, LifecycleRule, TransitionStorageClass};
use tripline_lake::store::s3_client;

use super::findings::Findings;
use crate::lake::StoreArguments;

const LIFECYCLE: &str = "lifecycle";
const VERSIONS: &str = "versions";

/// Uploads that a commit lists must outlast a publisher that is away.
const UPLOAD_DAYS: i32 = 7;

/// Looks at a bucket; `place` is `bucket/prefix`.
pub(super) async fn check(stores: &StoreArguments, place: &str, findings: &mut Findings) {
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = prefix.trim_end_matches('/');
    let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let options = match stores.options() {
        Ok(options) => options,
        Err(error) => return findings.fail(LIFECYCLE, error.to_string(), ""),
    };
    let Some(client) = s3_client(&options).await else {
        return findings.not_checked(LIFECYCLE, "no region is known");
    };
    let rules = lifecycle(&client, bucket, findings).await;
    if let Some(rules) = &rules {
        judge(rules, &root, findings);
    }
    versions(&client, bucket, rules.as_deref().unwrap_or_default(), findings).await;
}

/// The bucket's rules; `None`, which is said, where they cannot be seen.
async fn lifecycle(client: &Client, bucket: &str, findings: &mut Findings) -> Option<Vec<LifecycleRule>> {
    match client.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        Ok(found) => Some(found.rules.unwrap_or_default()),
        Err(error) if code(&error) == Some("NoSuchLifecycleConfiguration") => Some(Vec::new()),
        Err(error) => {
            findings.not_checked(LIFECYCLE, cannot_see(&error, "s3:GetLifecycleConfiguration"));
            None
        }
    }
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

fn cannot_see<E, R>(error: &SdkError<E, R>, right: &str) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
    SdkError<E, R>: std::error::Error,
{
    match code(error) {
        Some("AccessDenied") => format!("these credentials lack {right}"),
        Some(code) => format!("the server answers {code}"),
        None => DisplayErrorContext(error).to_string(),
    }
}

/// What the rules do to a lake below `root`, which is empty or ends in `/`.
fn judge(rules: &[LifecycleRule], root: &str, findings: &mut Findings) {
    let active = || rules.iter().filter(|rule| rule.status() == &ExpirationStatus::Enabled);
    let name = |rule: &LifecycleRule| rule.id().unwrap_or("without a name").to_owned();
    let mut sound = true;
    for rule in active().filter(|rule| has_no_tags(rule)) {
        for folder in ["_journal/", "_tripline/"] {
            let place = format!("{root}{folder}");
            if !overlaps(rule, &place) {
                continue;
            }
            if rule
                .expiration()
                .is_some_and(|expiration| expiration.days().or(expiration.date().map(|_| 0)).is_some())
            {
                sound = false;
                let what = format!(
                    "the rule {} deletes objects below {place}: rows would be lost or doubled",
                    name(rule)
                );
                findings.fail(LIFECYCLE, what, "give it a prefix that leaves them out");
            }
            let archives = [TransitionStorageClass::Glacier, TransitionStorageClass::DeepArchive];
            if rule
                .transitions()
                .iter()
                .any(|to| to.storage_class().is_some_and(|class| archives.contains(class)))
            {
                sound = false;
                let what =
                    format!("the rule {} archives objects below {place}: they could not be read", name(rule));
                findings.fail(LIFECYCLE, what, "give it a prefix that leaves them out");
            }
        }
    }
    if sound {
        findings.ok(LIFECYCLE, "no rule deletes or archives journal and checkpoint");
    }
    // A rule that aborts uploads covers the lake where its prefix begins all of the lake's keys.
    let covers = |rule: &&LifecycleRule| root.starts_with(prefix(rule)) && has_no_tags(rule);
    let days = active()
        .filter(covers)
        .filter_map(|rule| rule.abort_incomplete_multipart_upload()?.days_after_initiation());
    match days.min() {
        None => findings.warn(
            LIFECYCLE,
            "no rule aborts unfinished multipart uploads below the lake: what publishers leave that die is kept and paid \
             for without end",
            format!("add AbortIncompleteMultipartUpload with {UPLOAD_DAYS} days or more"),
        ),
        Some(days) if days < UPLOAD_DAYS => findings.warn(
            LIFECYCLE,
            format!("unfinished multipart uploads are aborted after {days} days: files of a commit must be built again if publish is away for longer"),
            format!("let it be {UPLOAD_DAYS} days or more"),
        ),
        Some(days) => findings.ok(LIFECYCLE, format!("unfinished multipart uploads are aborted after {days} days")),
    }
}

/// Objects of a lake have no tags.
fn has_no_tags(rule: &LifecycleRule) -> bool {
    let Some(filter) = rule.filter() else { return true };
    filter.tag().is_none() && filter.and().is_none_or(|and| and.tags().is_empty())
}

/// What its keys begin with; empty: all of the bucket.
fn prefix(rule: &LifecycleRule) -> &str {
    #[allow(deprecated)] // Buckets have rules of the old form.
    let old = rule.prefix();
    let filter = rule.filter();
    let new = filter.and_then(|filter| filter.prefix().or_else(|| filter.and()?.prefix()));
    new.or(old).unwrap_or_default()
}

fn overlaps(rule: &LifecycleRule, place: &str) -> bool {
    let prefix = prefix(rule);
    place.starts_with(prefix) || prefix.starts_with(place)
}

async fn versions(client: &Client, bucket: &str, rules: &[LifecycleRule], findings: &mut Findings) {
    match client.get_bucket_versioning().bucket(bucket).send().await {
        Ok(found) if found.status() == Some(&BucketVersioningStatus::Enabled) => {
            if rules.iter().any(|rule| rule.noncurrent_version_expiration().is_some()) {
                findings.ok(VERSIONS, "kept, and deleted in time");
            } else {
                findings.warn(
                    VERSIONS,
                    "kept for ever: what publish deletes of the journal is never gone",
                    "add a rule with NoncurrentVersionExpiration, as of 14 days",
                );
            }
        }
        Ok(_) => findings.ok(
            VERSIONS,
            "not kept: a checkpoint or entry that somebody deletes cannot be brought back; versioning costs what the \
             journal writes in its retention",
        ),
        Err(error) => findings.not_checked(VERSIONS, cannot_see(&error, "s3:GetBucketVersioning")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_s3::types::{
        AbortIncompleteMultipartUpload, LifecycleExpiration, LifecycleRuleFilter, Tag, Transition,
    };

    use super::super::findings::Verdict;
    use super::*;

    fn rule(filter: LifecycleRuleFilter) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
        LifecycleRule::builder().id("r").status(ExpirationStatus::Enabled).filter(filter)
    }

    fn below(prefix: &str) -> LifecycleRuleFilter {
        LifecycleRuleFilter::builder().prefix(prefix).build()
    }

    fn verdicts(rules: &[LifecycleRule]) -> Vec<Verdict> {
        let mut findings = Findings::default();
        judge(rules, "taxi/", &mut findings);
        findings.all().iter().map(|finding| finding.verdict).collect()
    }

    fn aborting(filter: LifecycleRuleFilter, days: i32) -> LifecycleRule {
        let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build();
        rule(filter).abort_incomplete_multipart_upload(abort).build().unwrap()
    }

    fn expiring(filter: LifecycleRuleFilter) -> LifecycleRule {
        rule(filter).expiration(LifecycleExpiration::builder().days(30).build()).build().unwrap()
    }

    #[test]
    fn uploads_must_be_aborted_and_not_too_soon() {
        use Verdict::{Ok, Warn};
        assert_eq!(verdicts(&[]), [Ok, Warn]);
        assert_eq!(verdicts(&[aborting(below(""), 1)]), [Ok, Warn]);
        assert_eq!(verdicts(&[aborting(below(""), 7)]), [Ok, Ok]);
        assert_eq!(verdicts(&[aborting(below("taxi/"), 30)]), [Ok, Ok]);
        assert_eq!(verdicts(&[aborting(below("other/"), 30)]), [Ok, Warn], "another lake's");
        assert_eq!(verdicts(&[aborting(below("taxi/trip/"), 30)]), [Ok, Warn], "of one table only");
    }

    #[test]
    fn nothing_may_expire_or_be_archived_below_journal_and_checkpoint() {
        let fails = |rules: &[LifecycleRule]| {
            verdicts(rules).iter().filter(|verdict| **verdict == Verdict::Fail).count()
        };
        assert_eq!(fails(&[expiring(below(""))]), 2);
        assert_eq!(fails(&[expiring(below("taxi/_journal/"))]), 1);
        assert_eq!(fails(&[expiring(below("taxi/_journal/lake-trips"))]), 1);
        assert_eq!(fails(&[expiring(below("taxi/trip/"))]), 0);
        assert_eq!(fails(&[expiring(below("athena-results/"))]), 0);
        let tagged =
            LifecycleRuleFilter::builder().tag(Tag::builder().key("k").value("v").build().unwrap()).build();
        assert_eq!(fails(&[expiring(tagged)]), 0, "objects of a lake have no tags");
        let transition = Transition::builder().days(1).storage_class(TransitionStorageClass::Glacier).build();
        assert_eq!(fails(&[rule(below("taxi/_t")).transitions(transition).build().unwrap()]), 1);
        let off = LifecycleRule::builder().status(ExpirationStatus::Disabled).filter(below(""));
        let off = off.expiration(LifecycleExpiration::builder().days(1).build()).build().unwrap();
        assert_eq!(fails(&[off]), 0);
    }
}

//! What the long help of each command teaches: examples, and what exit code 1 means.

use std::fmt::Write as _;

/// What is the same for all commands.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 all is well; 1 the command did its work and found something that needs a person; 2 it could not do its \
work, and standard error says why and what to do.";

/// A command's examples, and what exit code 1 means, where it has a meaning.
struct Lesson {
    command: &'static str,
    examples: &'static [(&'static str, &'static str)],
    found: Option<&'static str>,
}

const fn lesson(
    command: &'static str,
    examples: &'static [(&'static str, &'static str)],
    found: Option<&'static str>,
) -> Lesson {
    Lesson { command, examples, found }
}

const LESSONS: &[Lesson] = &[
    lesson(
        "run",
        &[
            (
                "Real trips into a folder",
                "tripline run --pipeline pipelines/taxi --input pipelines/taxi/sample --lake out",
            ),
            (
                "A stream into a bucket, until it is interrupted",
                "tripline run --pipeline pipelines/taxi --kinesis trips --lake s3://trips/taxi",
            ),
            (
                "A topic to its end, and into an index too",
                "tripline run --pipeline pipelines/taxi --kafka localhost:9092 --topic trips --until-end --lake out \
                 --opensearch http://localhost:9200",
            ),
        ],
        Some("batches were given up, and lie at the on-failure destination"),
    ),
    lesson(
        "backfill",
        &[
            (
                "All objects below a prefix",
                "tripline backfill --pipeline pipelines/taxi --input s3://old/2019/ --lake s3://trips/taxi",
            ),
            (
                "The rows of a query",
                "tripline backfill --pipeline pipelines/taxi --postgres postgres://me@localhost/trips --query 'SELECT * \
                 FROM trip ORDER BY id' --source-name trips-2019 --lake out",
            ),
        ],
        Some("a file could not be read as a whole"),
    ),
    lesson(
        "publish",
        &[
            ("Once", "tripline publish --pipeline pipelines/taxi --lake s3://trips/taxi"),
            (
                "Every five minutes, until it is stopped",
                "tripline publish --pipeline pipelines/taxi --lake out --every 5m",
            ),
        ],
        Some("a lane stands still"),
    ),
    lesson(
        "status",
        &[
            ("How a lake stands", "tripline status --pipeline pipelines/taxi --lake s3://trips/taxi"),
            (
                "For a monitor: exit with 1 where readers are more than 15 minutes behind",
                "tripline status --pipeline pipelines/taxi --lake s3://trips/taxi --max-lag 15m --json",
            ),
            (
                "With how far the stream is ahead, every ten seconds",
                "tripline status --pipeline pipelines/taxi --lake s3://trips/taxi --kinesis trips --watch 10",
            ),
        ],
        Some("a lane stands still, or something waits for longer than --max-lag"),
    ),
    lesson(
        "doctor",
        &[
            ("A lake and its bucket", "tripline doctor --pipeline pipelines/taxi --lake s3://trips/taxi"),
            (
                "All of a deployment",
                "tripline doctor --pipeline pipelines/taxi --lake s3://trips/taxi --function taxi-ingest --function \
                 taxi-publish --kinesis trips --domain trips",
            ),
            (
                "Without a write, for machines",
                "tripline doctor --pipeline pipelines/taxi --lake s3://trips/taxi --read-only --json",
            ),
        ],
        Some("a check fails"),
    ),
    lesson(
        "audit",
        &[
            ("Prove a lake", "tripline audit --pipeline pipelines/taxi --lake s3://trips/taxi"),
            ("For machines", "tripline audit --pipeline pipelines/taxi --lake out --json"),
        ],
        Some("something contradicts \"each record once\""),
    ),
    lesson(
        "inspect",
        &[
            (
                "What is published, in words",
                "tripline inspect _tripline/checkpoint.json --lake s3://trips/taxi",
            ),
            (
                "An entry of the journal",
                "tripline inspect s3://trips/taxi/_journal/lake-trips-shardId-000000000000-1f/00000000000000000007",
            ),
            ("The first ten rows of a file", "tripline inspect out/trip/part.parquet --rows 10"),
        ],
        Some("the object is damaged, or nothing of a lake's"),
    ),
    lesson(
        "report",
        &[("A page", "tripline report --pipeline pipelines/taxi --lake out --output report.html")],
        None,
    ),
    lesson(
        "ddl",
        &[
            (
                "Tables of Athena",
                "tripline ddl --pipeline pipelines/taxi --lake s3://trips/taxi --database taxi",
            ),
            ("Views of DuckDB", "tripline ddl --pipeline pipelines/taxi --lake out --dialect duckdb"),
            ("For the Terraform module `lake`", "tripline ddl --pipeline pipelines/taxi --dialect glue-json"),
        ],
        None,
    ),
    lesson(
        "schema",
        &[
            (
                "Before a deployment: do the columns fit beside those in the lake?",
                "tripline schema --pipeline pipelines/taxi --lake s3://trips/taxi",
            ),
            (
                "In a check of a change, without a lake",
                "tripline schema --pipeline pipelines/taxi --against main/pipelines/taxi",
            ),
        ],
        Some("the columns do not fit, or were changed under the same schema_version"),
    ),
    lesson(
        "redrive",
        &[
            (
                "What would be sent",
                "tripline redrive --pipeline pipelines/taxi --lake s3://trips/taxi --dry-run",
            ),
            (
                "Dead letters of one reason, after a fix",
                "tripline redrive --pipeline pipelines/taxi --lake s3://trips/taxi --reason wrong-type --since 2026-11-01",
            ),
            (
                "Batches that the mapping gave up",
                "tripline redrive --pipeline pipelines/taxi --lake s3://trips/taxi --failed-batches s3://failed/aws/lambda \
                 --function taxi-ingest",
            ),
        ],
        Some("of batches that were given up, what is in already cannot be told any more, and was left out"),
    ),
    lesson(
        "setup",
        &[
            (
                "What would be done",
                "tripline setup --pipeline pipelines/taxi --opensearch https://localhost:9200 --dry-run",
            ),
            (
                "A domain of Amazon OpenSearch Service, whose indices go after a month",
                "tripline setup --pipeline pipelines/taxi --domain trips --delete-after-days 30",
            ),
        ],
        None,
    ),
    lesson(
        "replay",
        &[
            (
                "Trips into a stream, an hour of theirs in a second",
                "tripline replay --input pipelines/taxi/sample --stream-name trips --speedup 3600",
            ),
            (
                "As fast as a topic takes them",
                "tripline replay --input pipelines/taxi/sample --kafka localhost:9092 --topic trips --speedup 0",
            ),
        ],
        Some("it was stopped before its end, or records were refused or too large"),
    ),
    lesson(
        "generate",
        &[
            ("A thousand events", "tripline generate --pipeline pipelines/adtech --limit 1000"),
            (
                "Fifty a second into a file",
                "tripline generate --pipeline pipelines/adtech --rate 50 --output events.jsonl",
            ),
        ],
        None,
    ),
    lesson(
        "events",
        &[("Lambda events of trips", "tripline events --input pipelines/taxi/sample --output events")],
        None,
    ),
    lesson(
        "completions",
        &[
            ("For bash", "tripline completions bash > ~/.local/share/bash-completion/completions/tripline"),
            ("For zsh, into a folder of $fpath", "tripline completions zsh > ~/.zfunc/_tripline"),
            ("For fish", "tripline completions fish > ~/.config/fish/completions/tripline.fish"),
        ],
        None,
    ),
    lesson("man", &[("To be read by `man tripline-status`", "tripline man ~/.local/share/man/man1")], None),
];

/// What the long help of a command ends with.
pub(crate) fn of(command: &str) -> Option<String> {
    let lesson = LESSONS.iter().find(|lesson| lesson.command == command)?;
    let mut help = "Examples:".to_owned();
    for (what, example) in lesson.examples {
        let _ = write!(help, "\n  # {what}\n  {example}");
    }
    help.push_str("\n\nExit codes: 0 all is well; ");
    if let Some(found) = lesson.found {
        let _ = write!(help, "1 {found}; ");
    }
    help.push_str("2 it could not do its work, and standard error says why and what to do.");
    Some(help)
}

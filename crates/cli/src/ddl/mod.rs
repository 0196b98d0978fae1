//! `tripline ddl`: a lake's tables, in the words of who is to read them.

mod athena;
mod duckdb;
mod glue;
mod spark;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tripline_lake::publish::FileFormat;
use tripline_model::pipeline::Pipeline;

use tables::{Table, tables};

/// Arguments of `tripline ddl`.
#[derive(Clone, Debug, clap::Args)]
pub struct DdlArguments {
    /// Folder that holds the pipeline file.
    #[arg(long, value_name = "DIR", env = "TRIPLINE_PIPELINE")]
    pipeline: PathBuf,
    /// Where the lake is: s3://bucket/prefix, or for DuckDB and Spark a folder too. Not needed for glue-json.
    #[arg(long, value_name = "URL", env = "TRIPLINE_LAKE")]
    lake: Option<String>,
    /// Who is to read the tables.
    #[arg(long, value_enum, default_value_t = Dialect::Athena)]
    dialect: Dialect,
    /// Database, or schema, that the tables go into.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Years that queries of Athena look into: rows of others are there and not found.
    #[arg(long, value_name = "FIRST-LAST", default_value = "2009-2040", value_parser = years)]
    years: (u16, u16),
    #[command(flatten)]
    format: crate::lake::FormatArguments,
}

/// Who reads tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Dialect {
    /// External tables with partition projection: for Amazon Athena, in Glue's catalogue.
    Athena,
    /// The tables as the Terraform modules and the CDK construct take them.
    GlueJson,
    /// Tables over files, whose partitions a repair finds.
    Spark,
    /// Views over files.
    Duckdb,
}

fn years(text: &str) -> Result<(u16, u16), &'static str> {
    let parsed =
        text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    parsed
        .filter(|(first, last)| (1..=*last).contains(first) && *last <= 9999)
        .ok_or("two years, as in 2009-2040")
}

/// What all dialects are told.
struct Lake {
    /// Where it is, without a slash at its end.
    location: String,
    format: FileFormat,
    database: Option<String>,
    years: (u16, u16),
}

impl Lake {
    /// The name of a table, with its database, each quoted.
    fn name(&self, table: &Table, quote: fn(&str) -> String) -> String {
        let database = self.database.iter().map(|database| quote(database) + ".");
        database.chain([quote(&table.name)]).collect()
    }

    /// A table's folder.
    fn folder(&self, table: &Table) -> String {
        format!("{}/{}/", self.location, table.name)
    }
}

/// Prints the tables.
///
/// # Errors
/// When the pipeline cannot be used, or the dialect cannot read such a lake.
pub fn run(arguments: &DdlArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.pipeline;
    let pipeline = Pipeline::load(folder)
        .with_context(|| format!("the pipeline in {} cannot be used", folder.display()))?;
    let tables = tables(&pipeline);
    if arguments.dialect == Dialect::GlueJson {
        println!("{:#}", glue::of(&tables));
        return Ok(ExitCode::SUCCESS);
    }
    let location = arguments.lake.as_deref().context("--lake is missing: tables are at a place")?;
    let location = location.trim_end_matches('/').to_owned();
    ensure!(
        arguments.dialect != Dialect::Athena || location.starts_with("s3://"),
        "Athena reads buckets alone: give --lake s3://bucket/prefix, or another --dialect"
    );
    let lake = Lake {
        location,
        format: arguments.format.of(&pipeline),
        database: arguments.database.clone(),
        years: arguments.years,
    };
    let statement = match arguments.dialect {
        Dialect::Athena | Dialect::GlueJson => athena::of,
        Dialect::Spark => spark::of,
        Dialect::Duckdb => duckdb::of,
    };
    let statements: Vec<String> = tables.iter().map(|table| statement(table, &lake)).collect();
    print!("{}", statements.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// A text in SQL.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A name in Hive's SQL.
fn backticked(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

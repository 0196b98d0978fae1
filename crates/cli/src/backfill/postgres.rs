//! The rows of a PostgreSQL query, as they arrive.
//!
//! The server makes each row a JSON object of its columns (`row_to_json`, in UTC), so that every type is spelled as
//! PostgreSQL itself spells it in JSON. The protocol's flow control keeps what is not yet taken on the server.
//!
//! The number of a row is its position. That says which rows are in only as long as the query gives the same rows in
//! the same order, with new ones after them.

use std::fmt;

use anyhow::{Context as _, anyhow, ensure};
use futures_util::{StreamExt as _, pin_mut};
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};
use tripline_model::source::SourcePartition;
use xxhash_rust::xxh3::xxh3_64;

use super::feed::Rows;
use super::tls::Tls;
use crate::source::{LONGEST_LINE_BYTES, NumberedRecord, RowBatch, SHARD};

/// Bytes of rows in a batch, beyond which it ends.
const BATCH_BYTES: usize = 4 << 20;

/// Times in UTC and ISO 8601, and no writing.
const SESSION: &str = "SET TIME ZONE 'UTC'; SET DATESTYLE = 'ISO'; SET default_transaction_read_only = on";

/// A query and who is asked.
#[derive(Clone)]
pub(super) struct Query {
    config: Config,
    text: String,
    name: String,
}

impl fmt::Debug for Query {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Query")
            .field("name", &self.name)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl Query {
    pub(super) fn new(url: &str, query: &str, name: Option<&str>) -> anyhow::Result<Self> {
        let mut config = config(url)?;
        if let (None, Ok(password)) = (config.get_password(), std::env::var("PGPASSWORD")) {
            config.password(password);
        }
        config.application_name("tripline");
        let text = query.trim().trim_end_matches(';').trim_end().to_owned();
        ensure!(!text.is_empty(), "--query is empty: give a SELECT with an ORDER BY");
        let name = match name {
            Some(name) => format!("postgres:{name}"),
            None => address(&config),
        };
        Ok(Self { config, text, name })
    }

    /// What it is called in messages and known by: never with a password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its rows as a source partition: another query is another source.
    pub(super) fn lane(&self, source_epoch: &str) -> SourcePartition {
        SourcePartition {
            source: format!("{}#{:016x}", self.name, xxh3_64(self.text.as_bytes())),
            epoch: source_epoch.to_owned(),
            partition: SHARD.to_owned(),
        }
    }

    /// Asks, and hands the rows over until there are no more or nobody listens.
    pub(super) async fn start(
        &self,
        rows: usize,
        to: mpsc::Sender<anyhow::Result<Rows>>,
    ) -> anyhow::Result<()> {
        let (client, connection) =
            self.config.connect(Tls::new()?).await.map_err(|error| self.unreachable(&error))?;
        // What ends it shows in the rows.
        tokio::spawn(connection);
        client.batch_execute(SESSION).await.map_err(|error| failed(&error))?;
        let text = format!("SELECT row_to_json(tripline)::text FROM (\n{}\n) AS tripline", self.text);
        tokio::spawn(async move {
            if let Err(error) = hand_over(&client, &text, rows, &to).await {
                // Nobody listens any more where the work has been given up.
                let _ = to.send(Err(error)).await;
            }
        });
        Ok(())
    }

    fn unreachable(&self, error: &tokio_postgres::Error) -> anyhow::Error {
        let advice = match self.config.get_ssl_mode() {
            SslMode::Disable => "",
            _ => {
                "; its certificate is verified: name its authority's file in SSL_CERT_FILE, or give sslmode=disable"
            }
        };
        anyhow!("cannot connect: {}{advice}", told(error))
    }
}

/// Reads the URL. Its text never gets into a message, nor does what the parser says of it: any part that it
/// stumbles over may be of the password.
fn config(url: &str) -> anyhow::Result<Config> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.context("--postgres is no URL of PostgreSQL's: give postgres://user@host/database")?;
    ensure!(
        rest.matches('@').count() < 2,
        "the URL of --postgres has more than one @, so that its host cannot be told: write %40 for each but the \
         one before the host, or give the password in PGPASSWORD"
    );
    url.parse().ok().context(
        "the URL of --postgres cannot be read: give postgres://user@host:5432/database?sslmode=require, with all \
         else than letters and digits of user and password as %… codes; sslmode is disable, prefer or require",
    )
}

/// `postgres://host:port/database`.
fn address(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{host}:{port}/{database}")
}

async fn hand_over(
    client: &Client,
    text: &str,
    most: usize,
    to: &mpsc::Sender<anyhow::Result<Rows>>,
) -> anyhow::Result<()> {
    let parameters: [&str; 0] = [];
    let rows = client.query_raw(text, parameters).await.map_err(|error| failed(&error))?;
    pin_mut!(rows);
    let (mut batch, mut bytes, mut position) = (RowBatch::default(), 0, 0_u64);
    let mut fault = None;
    while let Some(row) = rows.next().await {
        let data: String = match row.and_then(|row| row.try_get(0)) {
            Ok(data) => data,
            Err(error) => {
                fault = Some(failed(&error));
                break;
            }
        };
        position += 1;
        if data.len() > LONGEST_LINE_BYTES {
            batch.oversize.push((position, data.len() as u64));
            continue;
        }
        bytes += data.len();
        let (partition_key, data) = (position.to_string(), data.into_bytes());
        batch.records.push(NumberedRecord { position, partition_key, data });
        if batch.records.len() >= most || bytes >= BATCH_BYTES {
            bytes = 0;
            if to.send(Ok(Rows::Batch(std::mem::take(&mut batch), 0))).await.is_err() {
                return Ok(());
            }
        }
    }
    // Nobody listens any more where the work has been given up.
    let _ = to.send(Ok(Rows::Batch(batch, 0))).await;
    let end = fault.map_or(Ok(Rows::End { unfinished: None }), Err);
    let _ = to.send(end).await;
    Ok(())
}

fn failed(error: &tokio_postgres::Error) -> anyhow::Error {
    anyhow!(
        "the query failed: {}; what came before is in, and the same command goes on from there",
        told(error)
    )
}

/// What the server says, or else the client.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.to_string(),
        None => {
            let cause =
                std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_query_is_known_by_its_database_or_name_and_its_text_and_never_by_a_password() {
        let lane = |url: &str, query: &str, name| Query::new(url, query, name).unwrap().lane("").source;
        let url = "postgres://me:secret@db.example:5433/trips?sslmode=require";
        let source = lane(url, "SELECT 1", None);
        assert!(source.starts_with("postgres://db.example:5433/trips#"), "{source}");
        assert_eq!(source, lane("postgres://you@db.example:5433/trips", " SELECT 1 ; ", None));
        assert_ne!(source, lane(url, "SELECT 2", None));
        assert!(lane(url, "SELECT 1", Some("trips")).starts_with("postgres:trips#"));
        let shown = format!("{:?}", Query::new(url, "SELECT 1", None).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn no_part_of_a_password_gets_into_a_message_or_a_name_however_the_url_is_mistaken() {
        for url in [
            "postgresq://me:secret@db/trips",
            "Postgres://me:secret@db/trips",
            "postgres:/me:secret@db/trips",
            "me:secret@db",
            "postgres://me:hush@secret@db/trips",
            "postgres://me:hush@db/secret@db/trips",
            "postgres://me:a?b@secret@db/trips",
            "postgres://me:a@b:secret@db/trips",
            "postgres://me:hush@db/trips?secret=1",
            "postgres://me:hush@db/trips?sslmode=secret",
            "postgres://me:secret",
        ] {
            let error = Query::new(url, "SELECT 1", None).unwrap_err();
            let (shown, debug) = (format!("{error:#}"), format!("{error:?}"));
            assert!(!shown.contains("secret") && !debug.contains("secret"), "{url}: {shown}");
        }
        let encoded = Query::new("postgres://me%40x:p%40ss@db/trips", "SELECT 1", None).unwrap();
        assert_eq!(encoded.name(), "postgres://db:5432/trips");
        assert_eq!(encoded.config.get_password(), Some(&b"p@ss"[..]));
    }
}

//! Objects, read as their bytes arrive: a task brings them from S3, a thread unpacks them into batches of rows.

use std::io::{self, Read};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tripline_lake::store::{StoreOptions, lies_below, s3_client};
use tripline_model::source::SourcePartition;
use tripline_source::{Entry, ObjectId, RowBatch, RowBatches, SourceError, open_object};

use super::request::{ObjectName, Rest};

/// Rows in a batch at most, as a mapping's records.
const BATCH_ROWS: usize = 10_000;
/// Pieces of an object that are brought ahead of the reader.
const PIECES_AHEAD: usize = 16;

/// Why an object is not taken in. What was committed of it stays, and is not taken again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The function has no way to S3.
    #[error("no region is known: set AWS_REGION")]
    NoRegion,
    /// The lake would take itself in.
    #[error("{url} lies in the lake, {lake}: only what lies outside of it can be taken in")]
    OfTheLake {
        /// The object.
        url: String,
        /// Where the lake is.
        lake: String,
    },
    /// S3 does not give it.
    #[error("{url} cannot be read: {reason}; the function's role needs s3:GetObject on it")]
    Refused {
        /// The object.
        url: String,
        /// What S3 says.
        reason: String,
    },
    /// It breaks off, or is of a kind that is not read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The reader is gone.
    #[error("{url} cannot be read: its reader ended without a word; please report it")]
    Reader {
        /// The object.
        url: String,
    },
}

/// Where objects are read from. Connects when the first one is asked for.
#[derive(Debug)]
pub struct Objects {
    options: StoreOptions,
    lake: String,
    client: OnceCell<Client>,
}

impl Objects {
    /// The buckets of a server, but for what lies in the lake, by its store's location.
    #[must_use]
    pub fn new(options: StoreOptions, lake: String) -> Self {
        Self { options, lake, client: OnceCell::new() }
    }

    /// Whether the object lies in the lake: each batch of it would be another object there.
    pub(super) fn is_of_the_lake(&self, name: &ObjectName) -> bool {
        lies_below(&self.lake, &name.url())
    }

    pub(super) async fn open(&self, name: &ObjectName, epoch: &str) -> Result<OpenObject, ObjectError> {
        if self.is_of_the_lake(name) {
            return Err(ObjectError::OfTheLake { url: name.url(), lake: self.lake.clone() });
        }
        let connect = || async { s3_client(&self.options).await.ok_or(ObjectError::NoRegion) };
        let client = self.client.get_or_try_init(connect).await?;
        let refused = |reason: String| ObjectError::Refused { url: name.url(), reason };
        let request = client.get_object().bucket(&name.bucket).key(&name.key);
        let answer = request.set_version_id(name.version.clone()).send().await;
        let answer = answer.map_err(|error| refused(DisplayErrorContext(&error).to_string()))?;
        let bytes = answer.content_length().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
        let tag = answer.e_tag().ok_or_else(|| refused("the answer has no entity tag".to_owned()))?;
        // By the answer, not by the event: what is read is what it is known by, whatever has happened since.
        let id = ObjectId::new(&name.bucket, &name.key, tag);
        let begin = name.begin.as_ref().filter(|begin| begin.tag == id.tag());
        let from = begin.map_or(1, |begin| begin.row);
        let (lane, tag) = (id.lane(epoch), id.tag().to_owned());
        let (pieces, arriving) = mpsc::channel(PIECES_AHEAD);
        let bringer = tokio::spawn(bring(answer.body, pieces)).abort_handle();
        let (to, batches) = mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || {
            let body = Pieces { arriving, at_hand: Bytes::new(), ended: false };
            if let Err(error) = read(&id, bytes, body, from, &to) {
                // Nobody listens any more once time is up.
                let _ = to.blocking_send(Err(error));
            }
        });
        Ok(OpenObject { url: name.url(), tag, lane, from, batches, bringer, reader })
    }
}

/// An object that is being read.
pub(super) struct OpenObject {
    url: String,
    tag: String,
    pub(super) lane: SourcePartition,
    /// The first row that is not known to be in.
    from: u64,
    batches: mpsc::Receiver<Result<Option<RowBatch>, SourceError>>,
    bringer: AbortHandle,
    reader: JoinHandle<()>,
}

impl OpenObject {
    /// The next rows; `None` at the object's end.
    pub(super) async fn next(&mut self) -> Result<Option<RowBatch>, ObjectError> {
        match self.batches.recv().await {
            Some(batch) => Ok(batch?),
            None => Err(ObjectError::Reader { url: self.url.clone() }),
        }
    }

    /// All rows before this one are in.
    pub(super) const fn go_on_at(&mut self, row: u64) {
        self.from = row;
    }

    /// Ends the reading, wherever it stands: no task outlives the invocation. Returns what is not in.
    pub(super) async fn close(mut self) -> Rest {
        self.batches.close();
        self.bringer.abort();
        while self.batches.recv().await.is_some() {}
        let _ = self.reader.await;
        let begin = (self.from > 1).then_some((self.from, self.tag));
        let (from, etag) = begin.unzip();
        Rest { object: self.url, from, etag }
    }
}

/// The last piece is an empty one: an object that breaks off must not be taken for a shorter one.
async fn bring(mut body: ByteStream, to: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let piece = match body.next().await {
            Some(Ok(piece)) if piece.is_empty() => continue,
            Some(piece) => piece.map_err(io::Error::other),
            None => Ok(Bytes::new()),
        };
        let is_last = !matches!(&piece, Ok(piece) if !piece.is_empty());
        if to.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

fn read(
    id: &ObjectId,
    bytes: u64,
    body: Pieces,
    from: u64,
    to: &mpsc::Sender<Result<Option<RowBatch>, SourceError>>,
) -> Result<(), SourceError> {
    let is_in = |entry: &Result<Entry, _>| entry.as_ref().is_ok_and(|entry| entry.position() < from);
    let rows = open_object(id, bytes, body)?.skip_while(is_in);
    let mut batches = RowBatches::new(rows, BATCH_ROWS);
    loop {
        let batch = batches.next().transpose()?;
        let is_end = batch.is_none();
        if to.blocking_send(Ok(batch)).is_err() || is_end {
            return Ok(());
        }
    }
}

/// An object's bytes, for a reader that waits.
struct Pieces {
    arriving: mpsc::Receiver<io::Result<Bytes>>,
    at_hand: Bytes,
    ended: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at_hand.is_empty() && !self.ended {
            let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the object breaks off");
            self.at_hand = self.arriving.blocking_recv().ok_or_else(cut)??;
            if self.at_hand.is_empty() {
                self.ended = true;
                return Ok(0);
            }
        }
        let count = self.at_hand.len().min(buffer.len());
        self.at_hand.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

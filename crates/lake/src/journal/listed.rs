//! A lane's entries as they lie in the store, for those who look at a lake from outside of the protocol.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::entry::Entry;
use crate::layout::{entry_key, entry_number, lane_prefix};
use crate::store::{ObjectMeta, ObjectStore, StoreError, objects};

/// An object in a lane's folder.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) meta: ObjectMeta,
    /// `None` where its name is no entry's: then it is not read.
    pub(crate) number: Option<u64>,
    /// The entry, or what is wrong with it, with its key.
    pub(crate) entry: Result<Entry, String>,
}

/// The entries of a lane behind number `after`, in their order, some of them read at once.
pub(crate) fn entries<'s>(
    store: &'s dyn ObjectStore,
    folder: &str,
    after: u64,
    at_once: usize,
) -> BoxStream<'s, Result<Listed, StoreError>> {
    let start_after = (after > 0).then(|| entry_key(folder, after));
    let listed = objects(store, lane_prefix(folder), start_after);
    listed.map_ok(move |meta| read(store, meta)).try_buffered(at_once).boxed()
}

async fn read(store: &dyn ObjectStore, meta: ObjectMeta) -> Result<Listed, StoreError> {
    let key = &meta.key;
    let number = entry_number(key);
    let entry = match number {
        Some(_) => match store.get(key).await? {
            Some(object) => Entry::parse(&object.body).map_err(|error| format!("{key}: {error}")),
            None => Err(format!("{key} was listed and is gone")),
        },
        None => Err(format!("{key} is no journal entry")),
    };
    Ok(Listed { meta, number, entry })
}

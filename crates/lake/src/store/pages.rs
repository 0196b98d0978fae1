//! Whole listings, a page at a time.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{ObjectMeta, ObjectStore, StoreError};

/// Keys in one page of a listing.
const PAGE: usize = 1000;

/// The objects whose keys begin with `prefix` and are greater than `start_after`, in ascending order of keys. Each
/// page is asked for when the one before it is used up.
pub fn objects<'s>(
    store: &'s dyn ObjectStore,
    prefix: impl Into<String>,
    start_after: Option<String>,
) -> BoxStream<'s, Result<ObjectMeta, StoreError>> {
    let prefix = prefix.into();
    let pages = stream::try_unfold(Some(start_after), move |rest| {
        let prefix = prefix.clone();
        async move {
            let Some(after) = rest else { return Ok(None) };
            let page = store.list(&prefix, after.as_deref(), PAGE).await?;
            let rest = page.last().filter(|_| page.len() == PAGE).map(|last| Some(last.key.clone()));
            Ok(Some((stream::iter(page.into_iter().map(Ok)), rest)))
        }
    });
    pages.try_flatten().boxed()
}

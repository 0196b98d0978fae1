//! Proof that a store does what the protocol rests on.
//!
//! Some servers that speak S3's protocol ignore `If-None-Match` or `If-Match`, let two racing writers
//! win, or list out of order (S3 directory buckets do). On such a store rows would be lost or doubled
//! silently, so it is refused at the start.

use bytes::Bytes;
use futures_util::future::{join_all, join3};

use super::error::{ErrorKind, StoreError};
use super::{Condition, ETag, ObjectStore, Put};
use crate::environment::Entropy;

/// Racing creators of one key.
const RACERS: usize = 8;

/// Whole attempts while answers are lost.
const ATTEMPTS: usize = 3;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The store does something else than the protocol rests on.
    #[error(
        "the store {location} cannot be used: {fault}; use Amazon S3 (a general purpose bucket), or a \
         server that honours conditional writes and lists in order of keys"
    )]
    Unsuitable {
        /// The store.
        location: String,
        /// What it did.
        fault: &'static str,
    },
    /// The store could not be asked.
    #[error("cannot check the store: {0}")]
    Store(#[from] StoreError),
}

/// Shows with throw-away objects below `_tripline/probe/` that conditions are honoured, also in a
/// race, that a write is read back, that keys that differ in case are two, and that listings are in
/// ascending order and begin where asked. Takes some twenty requests in about seven round trips.
pub async fn probe(store: &dyn ObjectStore, entropy: &dyn Entropy) -> Result<(), ProbeError> {
    let mut attempt = 1;
    loop {
        // A new place each time, so that what an earlier attempt left does not matter.
        match attempt_at(store, &format!("_tripline/probe/{:016x}{:016x}", entropy.next(), entropy.next()))
            .await
        {
            Err(ProbeError::Store(error)) if error.kind() == ErrorKind::Unknown && attempt < ATTEMPTS => {
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

async fn attempt_at(store: &dyn ObjectStore, base: &str) -> Result<(), ProbeError> {
    let probe = Probe { store, base };
    let (conditions, race, order) = join3(probe.conditions(), probe.race(), probe.order()).await;
    // Best effort: what stays behind is small and in nobody's way.
    join_all(probe.keys().iter().map(|key| store.delete(key))).await;
    conditions.and(race).and(order)
}

/// In the order in which they are written; neither their own nor a folder's.
const LISTED: [&str; 6] = ["a0", "a/b", "Z", "a-b", "9", "10"];

struct Probe<'a> {
    store: &'a dyn ObjectStore,
    base: &'a str,
}

impl Probe<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    fn keys(&self) -> Vec<String> {
        let single = ["one", "ONE", "race"].map(|name| self.key(name));
        single.into_iter().chain(LISTED.map(|name| self.key(&format!("list/{name}")))).collect()
    }

    fn require(&self, holds: bool, fault: &'static str) -> Result<(), ProbeError> {
        if holds {
            return Ok(());
        }
        Err(ProbeError::Unsuitable { location: self.store.location(), fault })
    }

    async fn put(&self, name: &str, body: &'static str, condition: Condition) -> Result<Put, StoreError> {
        self.store.put(&self.key(name), Bytes::from_static(body.as_bytes()), condition).await
    }

    /// The body and the tag.
    async fn get(&self, name: &str) -> Result<Option<(Bytes, ETag)>, StoreError> {
        Ok(self.store.get(&self.key(name)).await?.map(|found| (found.body, found.meta.tag)))
    }

    async fn conditions(&self) -> Result<(), ProbeError> {
        const NEW_REFUSED: &str = "it refuses to create an object that is not there";
        const NOT_READ_BACK: &str = "it does not read back what was just written";
        const WRONG_TAG: &str = "it ignores If-Match: it replaced an object whose tag was another";

        let missing = Condition::Matches(ETag::new("00000000000000000000000000000000"));
        let put = self.put("one", "0", missing).await?;
        self.require(put == Put::Refused, "it ignores If-Match: it replaced an object that is not there")?;

        let Put::Stored { tag: first } = self.put("one", "1", Condition::Absent).await? else {
            return self.require(false, NEW_REFUSED);
        };
        let second = self.put("one", "2", Condition::Absent).await?;
        let fault = "it ignores If-None-Match: it created an object that was there already";
        self.require(second == Put::Refused, fault)?;
        let found = self.get("one").await?;
        self.require(found == Some((Bytes::from_static(b"1"), first.clone())), NOT_READ_BACK)?;

        let Put::Stored { tag: third } = self.put("one", "3", Condition::Matches(first.clone())).await?
        else {
            return self.require(false, "it refuses to replace an object by its right tag");
        };
        self.require(third != first, "it gives two versions of an object one tag")?;
        let late = self.put("one", "4", Condition::Matches(first)).await?;
        self.require(late == Put::Refused, WRONG_TAG)?;
        let found = self.get("one").await?;
        self.require(found == Some((Bytes::from_static(b"3"), third)), NOT_READ_BACK)?;

        let capital = self.get("ONE").await?;
        self.require(capital.is_none(), "it takes keys that differ in case for one")
    }

    async fn race(&self) -> Result<(), ProbeError> {
        let racers = (0..RACERS).map(|_| self.put("race", "r", Condition::Absent));
        let mut winners = 0;
        let mut lost = None;
        for put in join_all(racers).await {
            match put {
                Ok(Put::Stored { .. }) => winners += 1,
                Ok(Put::Refused) => {}
                Err(error) => lost = Some(error),
            }
        }
        let fault = "it ignores If-None-Match in a race: two writers created one object";
        self.require(winners <= 1, fault)?;
        match lost {
            // Nobody is known to have won; S3 answers 409 to some racers, and that alone is fine.
            Some(error) if winners == 0 => Err(error.into()),
            _ => self.require(winners == 1, "of racing creators of an object it let none win"),
        }
    }

    async fn order(&self) -> Result<(), ProbeError> {
        for name in LISTED {
            let put = self.put(&format!("list/{name}"), "", Condition::Absent).await?;
            self.require(put != Put::Refused, "it refuses to create an object that is not there")?;
        }
        let mut sorted = LISTED;
        sorted.sort_unstable();
        let listed = self.list(None, 100).await?;
        self.require(listed.len() == sorted.len(), "it does not list what was just written")?;
        self.require(listed == sorted, "it does not list in ascending order of keys")?;
        // After a key that exists, after one that does not, and with a limit.
        for (after, limit) in [("Z", 2), ("a.", 100), ("a0", 100)] {
            let wanted = sorted.into_iter().filter(|name| *name > after).take(limit);
            let listed = self.list(Some(after), limit).await?;
            let fault = "it does not begin a listing after the key it was asked to";
            self.require(wanted.eq(listed.iter().map(String::as_str)), fault)?;
        }
        Ok(())
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let folder = self.key("list/");
        let after = after.map(|name| format!("{folder}{name}"));
        let listed = self.store.list(&folder, after.as_deref(), limit).await?;
        let name = |key: String| key.strip_prefix(&folder).unwrap_or(&key).to_owned();
        Ok(listed.into_iter().map(|meta| name(meta.key)).collect())
    }
}

//! Sends records into a stream by its sink.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;
use tripline_model::forward::Outgoing;
use tripline_stream::sink::{Fate, StreamSink};

use super::Delivered;
use crate::replay::stage::Item;

/// One try; what is not in the stream then is sent on with the next.
const TRY: Duration = Duration::from_secs(30);
/// A try that ends so long before its time has met what only an operator can mend.
const EARLY: Duration = Duration::from_secs(10);

/// A record of the stream: one item, or several in an aggregate.
pub(super) struct Packed<'i> {
    pub(super) key: &'i str,
    pub(super) data: Cow<'i, [u8]>,
    pub(super) items: u64,
}

impl<'i> Packed<'i> {
    /// An item by itself.
    pub(super) fn alone(item: &'i Item) -> Self {
        Self { key: &item.key, data: Cow::Borrowed(&item.data), items: 1 }
    }
}

/// Sends records until the sink has every one of them, or will never take it.
///
/// # Errors
/// When it takes nothing for `give_up_after`, or only an operator can mend what is wrong.
pub(super) async fn put(
    sink: &dyn StreamSink,
    mut open: Vec<Packed<'_>>,
    give_up_after: Duration,
) -> anyhow::Result<Delivered> {
    let mut delivered = Delivered::default();
    let mut stuck = Duration::ZERO;
    loop {
        let events: Vec<Outgoing<'_>> = open
            .iter()
            .enumerate()
            .map(|(record, packed)| Outgoing {
                record,
                event_type: "",
                key: packed.key.to_owned(),
                payload: Cow::Borrowed(packed.data.as_ref()),
                source: String::new(),
                headers: "",
            })
            .collect();
        let began = Instant::now();
        let sent = sink.send(&events, TRY).await;
        let took = began.elapsed();
        delivered.requests += sent.counts.requests;
        delivered.retried += sent.counts.retried;
        delivered.throttled += sent.counts.throttled;
        let mut left = Vec::new();
        let mut why = None;
        for (packed, fate) in open.into_iter().zip(sent.fates) {
            match fate {
                Fate::Taken => {}
                Fate::Refused { error } => {
                    delivered.refused += packed.items;
                    delivered.refusal.get_or_insert(error);
                }
                Fate::Open { error } => {
                    why.get_or_insert(error);
                    left.push(packed);
                }
            }
        }
        let Some(why) = why else { return Ok(delivered) };
        stuck = if sent.counts.taken > 0 { Duration::ZERO } else { stuck + took };
        if stuck + EARLY < TRY && sent.counts.taken == 0 {
            bail!("{why}");
        }
        if stuck >= give_up_after {
            bail!("{why} (nothing was taken for {} s)", stuck.as_secs());
        }
        open = left;
    }
}

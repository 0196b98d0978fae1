//! What must hold in every state.

use stateright::Property;

use crate::state::bit;
use crate::{Protocol, State};

/// Names of the properties, for tests.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always("a record is committed at most once", |_, state: &State| {
            state.commits.iter().all(|&count| count <= 1)
        }),
        // A record that the mapping itself skipped may come back when it is too late for its lane; it
        // is dropped by rule then, and is sent again from the mapping's on-failure destination.
        Property::always("an acknowledged record is committed", |_, state: &State| {
            let skipped = state.skipped.map_or(0, bit);
            state.acknowledged & !state.records_up_to(state.newest()) & !skipped == 0
        }),
        Property::always("readers see a record at most once", |_, state: &State| {
            let mut seen = state.settled;
            !state.is_doubled
                && state.files.iter().filter(|file| file.is_visible).all(|file| {
                    let is_new = seen & file.records == 0;
                    seen |= file.records;
                    is_new
                })
        }),
        Property::always("readers see only what a checkpoint has committed", |_, state: &State| {
            state.visible() & !state.records_up_to(state.checkpoint.number) == 0
        }),
        Property::always("with nothing pending, readers see all that is published", |_, state: &State| {
            !state.checkpoint.pending.is_empty()
                || state.visible() == state.records_up_to(state.checkpoint.number)
        }),
        Property::always("the checkpoint only moves forward", |_, state: &State| !state.went_back),
        Property::always("a committed file can always be completed or built again", |_, state: &State| {
            !state.is_unrecoverable
        }),
        Property::always("a committed upload is lost by expiry alone", |_, state: &State| {
            !state.is_lost_by_abort
        }),
        Property::sometimes("everything is published", |bounds: &Protocol, state: &State| {
            state.visible().count_ones() == u32::from(bounds.records) && state.checkpoint.pending.is_empty()
        }),
        Property::sometimes("an entry is deleted", |_, state: &State| {
            state.entry(1).is_none() && state.newest() > 1
        }),
    ]
}

impl State {
    /// The records that readers see.
    pub(crate) fn visible(&self) -> u8 {
        self.files.iter().filter(|file| file.is_visible).fold(self.settled, |set, file| set | file.records)
    }
}

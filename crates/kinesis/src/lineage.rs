//! Which shards may be read: a shard's children once it has been read to its end, as its records come before
//! theirs.

use std::collections::BTreeMap;

use tripline_model::source::Position;

use crate::read::Start;

/// A shard as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) shard: String,
    /// One after a split, two after a merge.
    pub(crate) parents: Vec<String>,
    /// It takes records.
    pub(crate) open: bool,
}

/// Where the reading of a shard begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Oldest,
    Latest,
    After(Position),
}

/// The shards of a stream and how far each is.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    shards: BTreeMap<String, Shard>,
    /// The stream has been listed before.
    begun: bool,
}

#[derive(Debug)]
struct Shard {
    parents: Vec<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting(Place),
    Reading,
    Done,
}

impl Lineage {
    /// Takes in what is listed; `after` says how far shards have been read before.
    pub(crate) fn learn(&mut self, listed: Vec<Listed>, start: Start, after: &BTreeMap<String, Position>) {
        // Where the stream was read before, a shard that is not known may have come since, or had nothing then:
        // what it has is not skipped.
        let start = if after.is_empty() { start } else { Start::TrimHorizon };
        let begun = std::mem::replace(&mut self.begun, true);
        for Listed { shard, parents, open } in listed {
            let state = match (after.get(&shard), start) {
                (Some(&position), _) => State::Waiting(Place::After(position)),
                // What is in closed shards is older than the beginning.
                (None, Start::Latest) if !begun && !open => State::Done,
                (None, Start::Latest) if !begun => State::Waiting(Place::Latest),
                // A shard that came since was empty then.
                (None, _) => State::Waiting(Place::Oldest),
            };
            self.shards.entry(shard).or_insert(Shard { parents, state });
        }
        if begun {
            return;
        }
        // A shard that was begun before has parents that were at their end.
        let mut ended: Vec<String> = self.parents_of(|name, _| after.contains_key(name));
        while !ended.is_empty() {
            for name in &ended {
                if let Some(shard) = self.shards.get_mut(name) {
                    shard.state = State::Done;
                }
            }
            let ancestors = self.parents_of(|name, _| ended.iter().any(|ended| ended == name));
            let open = |name: &String| self.shards.get(name).is_some_and(|shard| shard.state != State::Done);
            ended = ancestors.into_iter().filter(open).collect();
        }
    }

    fn parents_of(&self, chosen: impl Fn(&str, &Shard) -> bool) -> Vec<String> {
        let chosen = self.shards.iter().filter(|(name, shard)| chosen(name, shard));
        chosen.flat_map(|(_, shard)| shard.parents.iter().cloned()).collect()
    }

    /// The shards whose reading may begin, and where.
    pub(crate) fn ready(&self) -> Vec<(String, Place)> {
        // A parent that is not listed has been trimmed.
        let done = |parent: &String| self.shards.get(parent).is_none_or(|parent| parent.state == State::Done);
        let ready = self.shards.iter().filter_map(|(name, shard)| match shard.state {
            State::Waiting(place) if shard.parents.iter().all(done) => Some((name.clone(), place)),
            _ => None,
        });
        ready.collect()
    }

    /// Whether there are shards whose reading has not begun.
    pub(crate) fn is_waiting(&self) -> bool {
        self.shards.values().any(|shard| matches!(shard.state, State::Waiting(_)))
    }

    /// The reading of the shard begins.
    pub(crate) fn begin(&mut self, shard: &str) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.state = State::Reading;
        }
    }

    /// The shard has been read to its end.
    pub(crate) fn finish(&mut self, shard: &str) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.state = State::Done;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(shards: &[(&str, &[&str], bool)]) -> Vec<Listed> {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        shards
            .iter()
            .map(|(shard, parents, open)| Listed {
                shard: (*shard).to_owned(),
                parents: own(parents),
                open: *open,
            })
            .collect()
    }

    /// `a` was split into `b` and `c`, which were merged into `d`.
    fn family() -> Vec<Listed> {
        listed(&[
            ("d", &["b", "c"], true),
            ("a", &["gone"], false),
            ("b", &["a"], false),
            ("c", &["a"], false),
        ])
    }

    fn begun(lineage: &mut Lineage) -> Vec<(String, Place)> {
        let ready = lineage.ready();
        ready.iter().for_each(|(shard, _)| lineage.begin(shard));
        ready
    }

    fn at(place: Place, shards: &[&str]) -> Vec<(String, Place)> {
        shards.iter().map(|&shard| (shard.to_owned(), place)).collect()
    }

    #[test]
    fn children_are_read_after_their_parents() {
        let mut lineage = Lineage::default();
        lineage.learn(family(), Start::TrimHorizon, &BTreeMap::new());
        assert_eq!(begun(&mut lineage), at(Place::Oldest, &["a"]));
        lineage.learn(family(), Start::TrimHorizon, &BTreeMap::new());
        assert_eq!(begun(&mut lineage), []);
        lineage.finish("a");
        assert_eq!(begun(&mut lineage), at(Place::Oldest, &["b", "c"]));
        lineage.finish("c");
        assert_eq!(begun(&mut lineage), []);
        lineage.finish("b");
        assert_eq!(begun(&mut lineage), at(Place::Oldest, &["d"]));
    }

    #[test]
    fn from_the_latest_on_closed_shards_are_left_out_and_new_ones_are_read_from_their_beginning() {
        let mut lineage = Lineage::default();
        lineage.learn(family(), Start::Latest, &BTreeMap::new());
        assert_eq!(begun(&mut lineage), at(Place::Latest, &["d"]));
        let mut later = family();
        later.extend(listed(&[("e", &["d"], true), ("f", &["d"], true)]));
        lineage.learn(later, Start::Latest, &BTreeMap::new());
        assert_eq!(begun(&mut lineage), []);
        lineage.finish("d");
        assert_eq!(begun(&mut lineage), at(Place::Oldest, &["e", "f"]));
    }

    #[test]
    fn reading_goes_on_where_it_was() {
        let after = BTreeMap::from([("b".to_owned(), Position::new(7))]);
        for start in [Start::TrimHorizon, Start::Latest] {
            let mut lineage = Lineage::default();
            lineage.learn(family(), start, &after);
            let expected =
                vec![("b".to_owned(), Place::After(Position::new(7))), ("c".to_owned(), Place::Oldest)];
            assert_eq!(begun(&mut lineage), expected);
        }
    }

    #[test]
    fn what_came_into_children_while_nobody_read_is_read() {
        let after = BTreeMap::from([("a".to_owned(), Position::new(7))]);
        let mut lineage = Lineage::default();
        lineage.learn(family(), Start::Latest, &after);
        assert_eq!(begun(&mut lineage), at(Place::After(Position::new(7)), &["a"]));
        lineage.finish("a");
        assert_eq!(begun(&mut lineage), at(Place::Oldest, &["b", "c"]));
    }
}

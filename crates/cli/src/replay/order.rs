//! Events of many files in the order of their times, in bounded memory.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::event::Event;

/// Events of one file, or of several.
pub(super) type Events = Box<dyn Iterator<Item = anyhow::Result<Event>> + Send>;

/// Merges files by the times of their next events. So many are open at once: the first ones, and the next
/// in line whenever one ends.
pub(super) struct Merge<I, F> {
    waiting: VecDeque<I>,
    open: F,
    at_once: usize,
    streams: Vec<Option<Events>>,
    heads: BinaryHeap<Reverse<(Event, usize)>>,
    /// Comes after what was read before it.
    failed: Option<anyhow::Error>,
    ended: bool,
}

impl<I, F: FnMut(I) -> anyhow::Result<Events>> Merge<I, F> {
    /// Merges what `open` makes of the inputs.
    pub(super) fn new(inputs: impl IntoIterator<Item = I>, at_once: usize, open: F) -> Self {
        let waiting = inputs.into_iter().collect();
        Self {
            waiting,
            open,
            at_once: at_once.max(1),
            streams: Vec::new(),
            heads: BinaryHeap::new(),
            failed: None,
            ended: false,
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        while self.heads.len() < self.at_once {
            let Some(input) = self.waiting.pop_front() else { break };
            let mut events = (self.open)(input)?;
            if let Some(first) = events.next().transpose()? {
                let free = self.streams.iter().position(Option::is_none);
                let place = free.unwrap_or(self.streams.len());
                match self.streams.get_mut(place) {
                    Some(slot) => *slot = Some(events),
                    None => self.streams.push(Some(events)),
                }
                self.heads.push(Reverse((first, place)));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<Option<Event>> {
        self.fill()?;
        let Some(Reverse((event, place))) = self.heads.pop() else { return Ok(None) };
        if let Some(slot) = self.streams.get_mut(place)
            && let Some(events) = slot
        {
            match events.next() {
                Some(Ok(next)) => self.heads.push(Reverse((next, place))),
                Some(Err(error)) => self.failed = Some(error),
                None => *slot = None,
            }
        }
        Ok(Some(event))
    }
}

impl<I, F: FnMut(I) -> anyhow::Result<Events>> Iterator for Merge<I, F> {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = match self.failed.take() {
            Some(error) => Err(error),
            None => self.step(),
        };
        self.ended = step.is_err();
        step.transpose()
    }
}

/// Sorts events that are nearly in order: each is handed out when so many, or so many bytes, have come
/// after it, or the end.
pub(super) struct Window<I> {
    events: I,
    most: usize,
    most_bytes: usize,
    held: BinaryHeap<Reverse<Event>>,
    bytes: usize,
    ended: Option<anyhow::Result<()>>,
}

impl<I: Iterator<Item = anyhow::Result<Event>>> Window<I> {
    /// A window of at most this many events and bytes.
    pub(super) fn new(events: I, most: usize, most_bytes: usize) -> Self {
        Self { events, most, most_bytes, held: BinaryHeap::new(), bytes: 0, ended: None }
    }
}

impl<I: Iterator<Item = anyhow::Result<Event>>> Iterator for Window<I> {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ended.is_none() && self.held.len() <= self.most && self.bytes <= self.most_bytes {
            match self.events.next() {
                Some(Ok(event)) => {
                    self.bytes += event.data.len();
                    self.held.push(Reverse(event));
                }
                Some(Err(error)) => self.ended = Some(Err(error)),
                None => self.ended = Some(Ok(())),
            }
        }
        if let Some(Reverse(event)) = self.held.pop() {
            self.bytes = self.bytes.saturating_sub(event.data.len());
            return Some(Ok(event));
        }
        // What was read before an error goes out before it.
        match self.ended.replace(Ok(())) {
            Some(Err(error)) => Some(Err(error)),
            _ => None,
        }
    }
}

/// Sorts all events, whatever their order: by sorted runs on disk beyond so many bytes, merged.
pub(super) fn sorted(
    events: impl Iterator<Item = anyhow::Result<Event>>,
    memory: usize,
    folder: &Path,
) -> anyhow::Result<Events> {
    let (mut held, mut bytes): (Vec<Event>, usize) = (Vec::new(), 0);
    let mut runs = Vec::new();
    for event in events {
        let event = event?;
        bytes += event.data.len() + size_of::<Event>();
        held.push(event);
        if bytes >= memory {
            held.sort_unstable();
            runs.push(Run::write(&held, folder)?);
            held.clear();
            bytes = 0;
        }
    }
    held.sort_unstable();
    if runs.is_empty() {
        return Ok(Box::new(held.into_iter().map(Ok)));
    }
    let mut streams: Vec<Events> = Vec::with_capacity(runs.len() + 1);
    for run in runs {
        streams.push(Box::new(run));
    }
    streams.push(Box::new(held.into_iter().map(Ok)));
    let at_once = streams.len();
    Ok(Box::new(Merge::new(streams, at_once, Ok)))
}

/// A sorted run in a file without a name, which goes when it is closed.
struct Run {
    reader: BufReader<FrameDecoder<BufReader<File>>>,
    left: u64,
    folder: PathBuf,
}

impl Run {
    fn write(events: &[Event], folder: &Path) -> anyhow::Result<Self> {
        let told = |error: io::Error| {
            anyhow::anyhow!(
                "cannot sort on disk in {}: {error}; name a folder with room by --sort-dir",
                folder.display()
            )
        };
        let file = tempfile::tempfile_in(folder).map_err(told)?;
        let mut writer = FrameEncoder::new(BufWriter::new(file));
        for event in events {
            write_event(&mut writer, event).map_err(told)?;
        }
        let finished = writer.finish().map_err(|error| told(io::Error::other(error)))?;
        let mut file = finished.into_inner().map_err(|error| told(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(told)?;
        let reader = BufReader::new(FrameDecoder::new(BufReader::new(file)));
        Ok(Self { reader, left: events.len() as u64, folder: folder.to_owned() })
    }

    fn read(&mut self) -> io::Result<Event> {
        let mut head = [0; 8];
        self.reader.read_exact(&mut head)?;
        let time_ms = i64::from_le_bytes(head);
        self.reader.read_exact(&mut head)?;
        let position = u64::from_le_bytes(head);
        self.reader.read_exact(&mut head)?;
        let length = u64::from_le_bytes(head);
        let mut place = [0; 5];
        self.reader.read_exact(&mut place)?;
        let [timed, file @ ..] = place;
        let mut data = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.reader.read_exact(&mut data)?;
        Ok(Event { time_ms, is_timed: timed == 1, file: u32::from_le_bytes(file), position, data })
    }
}

fn write_event(writer: &mut impl Write, event: &Event) -> io::Result<()> {
    writer.write_all(&event.time_ms.to_le_bytes())?;
    writer.write_all(&event.position.to_le_bytes())?;
    writer.write_all(&(event.data.len() as u64).to_le_bytes())?;
    writer.write_all(&[u8::from(event.is_timed)])?;
    writer.write_all(&event.file.to_le_bytes())?;
    writer.write_all(&event.data)
}

impl Iterator for Run {
    type Item = anyhow::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        Some(read.map_err(|error| {
            anyhow::anyhow!("cannot read what was sorted in {}: {error}", self.folder.display())
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(time_ms: i64, file: u32, position: u64) -> Event {
        let data = format!("{file}:{position}").into_bytes();
        Event { time_ms, is_timed: position.is_multiple_of(2), file, position, data }
    }

    fn file(number: u32, times: &[i64]) -> Events {
        let events: Vec<_> =
            times.iter().zip(1..).map(|(time, position)| Ok(event(*time, number, position))).collect();
        Box::new(events.into_iter())
    }

    fn times(events: impl Iterator<Item = anyhow::Result<Event>>) -> Vec<i64> {
        events.map(|event| event.unwrap().time_ms).collect()
    }

    #[test]
    fn files_that_are_in_order_are_merged_into_one_order() {
        let files = vec![file(0, &[1, 4, 7]), file(1, &[2, 3, 9]), file(2, &[]), file(3, &[0, 5])];
        assert_eq!(times(Merge::new(files, 16, Ok)), [0, 1, 2, 3, 4, 5, 7, 9]);
    }

    #[test]
    fn with_few_files_open_the_next_begins_when_one_ends() {
        let files = vec![file(0, &[1, 2]), file(1, &[3, 4]), file(2, &[]), file(3, &[2, 6])];
        assert_eq!(times(Merge::new(files, 1, Ok)), [1, 2, 3, 4, 2, 6]);
        let files = vec![file(0, &[1, 2]), file(1, &[3, 4]), file(2, &[5, 6])];
        assert_eq!(times(Merge::new(files, 2, Ok)), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn events_of_the_same_time_keep_the_order_of_their_files_and_lines() {
        let files = vec![file(0, &[5, 5]), file(1, &[5, 5])];
        let merged: Vec<_> = Merge::new(files, 2, Ok).map(Result::unwrap).collect();
        let places: Vec<_> = merged.iter().map(|event| (event.file, event.position)).collect();
        assert_eq!(places, [(0, 1), (0, 2), (1, 1), (1, 2)]);
    }

    #[test]
    fn a_window_sorts_what_is_no_further_off_and_hands_out_everything() {
        let shuffled = [3, 1, 2, 6, 5, 4, 9, 8, 7];
        assert_eq!(times(Window::new(file(0, &shuffled), 3, usize::MAX)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        // Fewer events than the window has room for.
        assert_eq!(times(Window::new(file(0, &[2, 1]), 100, usize::MAX)), [1, 2]);
        assert_eq!(times(Window::new(file(0, &[]), 100, usize::MAX)), [0_i64; 0]);
        // Too far off: late, and not lost.
        assert_eq!(times(Window::new(file(0, &[5, 6, 7, 8, 1]), 1, usize::MAX)), [5, 6, 7, 1, 8]);
        // Bounded by bytes.
        assert_eq!(times(Window::new(file(0, &[2, 1]), 100, 0)), [2, 1]);
    }

    #[test]
    fn what_was_read_before_an_error_comes_before_it() {
        let events =
            [Ok(event(2, 0, 1)), Ok(event(1, 0, 2)), Err(anyhow::anyhow!("broken")), Ok(event(3, 0, 3))];
        let mut window = Window::new(events.into_iter(), 10, usize::MAX);
        assert_eq!(window.next().unwrap().unwrap().time_ms, 1);
        assert_eq!(window.next().unwrap().unwrap().time_ms, 2);
        assert!(window.next().unwrap().is_err());
        assert!(window.next().is_none());
    }

    #[test]
    fn a_full_sort_gives_one_order_and_the_same_events_however_little_memory_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let times: Vec<i64> = (0..1000).map(|number| number * 7919 % 1000 - 500).collect();
        let all = |memory| -> Vec<Event> {
            sorted(file(3, &times), memory, folder.path()).unwrap().map(Result::unwrap).collect()
        };
        let in_memory = all(usize::MAX);
        assert_eq!(in_memory.len(), 1000);
        assert!(in_memory.is_sorted_by_key(|event| event.time_ms));
        for memory in [1_000, 20_000] {
            assert_eq!(all(memory), in_memory);
        }
    }
}

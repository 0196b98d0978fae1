//! The pull scanner on which the rest of [`super`] is built.

use super::{Decimal, JsonError, Kind, Limits, Value, scan};

/// Walks a JSON text in one pass: enter what is of interest, take or skip the rest.
///
/// Whatever is passed over is checked in full, so that after [`Cursor::finish`] the whole text is known
/// to be good, however little of it was looked at. The walk is a loop over a stack of bits: a text
/// that nests 10,000 deep costs no more machine stack than a flat one.
///
/// A member's value or an element that is neither taken nor entered is skipped by the next call of
/// [`next_key`](Self::next_key), [`next_element`](Self::next_element) or [`leave`](Self::leave). Each of these speaks of the innermost
/// object or array that is open; on one of the other sort they answer [`JsonError::UnexpectedByte`].
/// After an error the cursor is of no more use.
///
/// ```
/// use tripline_model::json::{Cursor, JsonError, Limits};
///
/// let event = br#"{"Records": [{"kinesis": {"data": "AA=="}, "eventName": "x"}, {"kinesis": {"data": "AQ=="}}]}"#;
/// let mut data = Vec::new();
/// let mut cursor = Cursor::new(event, &Limits::default())?;
/// cursor.enter_object()?;
/// while let Some(key) = cursor.next_key()? {
///     if key.unescaped() != Some(b"Records") {
///         continue;
///     }
///     cursor.enter_array()?;
///     while cursor.next_element()? {
///         cursor.enter_object()?;
///         while let Some(key) = cursor.next_key()? {
///             if key.unescaped() == Some(b"kinesis") {
///                 cursor.enter_object()?;
///                 while let Some(key) = cursor.next_key()? {
///                     if key.unescaped() == Some(b"data") {
///                         data.extend(cursor.value()?.unescaped());
///                     }
///                 }
///             }
///         }
///     }
/// }
/// cursor.finish()?;
/// assert_eq!(data, [b"AA==", b"AQ=="]);
/// # Ok::<(), JsonError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    limit: usize,
    open: Open,
    state: State,
}

/// A member whose value is neither an object nor an array nor a string with escapes. Offsets are from the start
/// of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar {
    pub(crate) kind: Kind,
    /// Where its key's quote is.
    pub(crate) key_start: usize,
    /// Where its value begins and ends.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What it is if it is a short number.
    pub(crate) number: Option<Decimal>,
}

/// What is due at the cursor's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value: at the start of the text, after a key, or as an array's element.
    Value,
    /// The first member or element of what was just entered, or its end.
    First,
    /// A comma or the end of what is open; the end of the text where nothing is.
    Next,
}

/// How a walk stands at one place: together with the bytes that follow it decides how the walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    limit: usize,
    state: State,
    depth: usize,
    word: u64,
}

/// A place of a [`Cursor`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: usize,
    stand: Option<Stand>,
}

/// What a [`Cursor`] has walked over, to be known when it comes again: see [`Cursor::again`].
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    bytes: &'a [u8],
    before: Stand,
    after: Stand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

impl Container {
    const fn end(self) -> u8 {
        match self {
            Self::Object => b'}',
            Self::Array => b']',
        }
    }
}

/// What is open, outermost first: a stack with a bit for each level (set: an object). The innermost
/// levels are in `word`, full words of outer ones in `outer`.
#[derive(Clone, Debug, Default)]
struct Open {
    depth: usize,
    word: u64,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = (self.word << 1) | u64::from(container == Container::Object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.word >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }

    const fn innermost(&self) -> Option<Container> {
        match (self.depth, self.word & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            (_, _) => Some(Container::Object),
        }
    }
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `text`.
    ///
    /// # Errors
    /// [`JsonError::NotUtf8`].
    pub fn new(text: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        // Most are ASCII, which is told at half the price.
        if !text.is_ascii()
            && let Err(error) = std::str::from_utf8(text)
        {
            return Err(JsonError::NotUtf8 { offset: error.valid_up_to() });
        }
        Ok(Self { text, at: 0, limit: limits.depth, open: Open::default(), state: State::Value })
    }

    /// How far the cursor is, in bytes from the start of the text.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// The kind of the value that is due, judged by its first byte alone: the value is not checked, and
    /// a string is not yet known to be `escaped`, which is given as `false`.
    ///
    /// # Errors
    /// [`JsonError`] if no value is due or none can start here.
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        match self.value_start()? {
            b'n' => Ok(Kind::Null),
            b't' => Ok(Kind::True),
            b'f' => Ok(Kind::False),
            b'"' => Ok(Kind::String { escaped: false }),
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters the object that is due.
    ///
    /// # Errors
    /// [`JsonError`] if it is something else (see [`peek`](Self::peek)) or nested too deep.
    pub fn enter_object(&mut self) -> Result<(), JsonError> {
        match self.value_start()? {
            b'{' => self.enter(Container::Object),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters the array that is due.
    ///
    /// # Errors
    /// As for [`enter_object`](Self::enter_object).
    pub fn enter_array(&mut self) -> Result<(), JsonError> {
        match self.value_start()? {
            b'[' => self.enter(Container::Array),
            _ => Err(self.unexpected()),
        }
    }

    /// The next key of the innermost open object, a string; its value is then due. `None` at the
    /// object's end, which is thereby left.
    ///
    /// # Errors
    /// [`JsonError`] if the text is bad up to and with the colon.
    pub fn next_key(&mut self) -> Result<Option<Value<'a>>, JsonError> {
        if !self.next(Container::Object)? {
            return Ok(None);
        }
        self.key().map(Some)
    }

    /// Passes over the next members of the innermost open object, and hands each over, for as long as their keys
    /// are spelled as `keys` are, and no white space is around them, and their values are [scalars](Scalar).
    /// Returns how many there were. What follows them, whatever it is, is left to the other methods.
    #[inline]
    pub(crate) fn scalars<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k [u8]>,
        mut member: impl FnMut(usize, Scalar),
    ) -> usize {
        let mut comma = match (self.open.innermost(), self.state) {
            (Some(Container::Object), State::First) => 0,
            (Some(Container::Object), State::Next) => 1,
            _ => return 0,
        };
        let mut count = 0;
        for key in keys {
            let key_start = self.at + comma;
            let rest = self.text.get(key_start..).unwrap_or_default();
            let follows = comma == 0 || self.text.get(self.at) == Some(&b',');
            if !follows || key.is_empty() || !scan::begins_with_key(rest, key) {
                break;
            }
            let start = key_start + key.len();
            let Some((kind, length, number)) = rest.get(key.len()..).and_then(scan::scalar) else { break };
            let end = start + length;
            member(count, Scalar { kind, key_start, start, end, number });
            count += 1;
            (self.at, self.state, comma) = (end, State::Next, 1);
        }
        count
    }

    /// Whether the innermost open array has another element, which is then due. `false` at the array's
    /// end, which is thereby left.
    ///
    /// # Errors
    /// [`JsonError`] if the text is bad up to there.
    pub fn next_element(&mut self) -> Result<bool, JsonError> {
        let more = self.next(Container::Array)?;
        if more {
            self.state = State::Value;
        }
        Ok(more)
    }

    /// Takes the value that is due, checked in full.
    ///
    /// # Errors
    /// [`JsonError`] if none is due or it is bad.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let first = self.value_start()?;
        let start = self.at;
        let kind = match first {
            b'"' => {
                let (end, escaped) = scan::string(self.text, start)?;
                self.at = end;
                Kind::String { escaped }
            }
            b'-' | b'0'..=b'9' => {
                self.at = scan::number(self.text, start)?;
                Kind::Number
            }
            b'n' => self.literal(b"null", Kind::Null)?,
            b't' => self.literal(b"true", Kind::True)?,
            b'f' => self.literal(b"false", Kind::False)?,
            b'{' => {
                let depth = self.open.depth;
                self.enter(Container::Object)?;
                self.leave_to(depth)?;
                Kind::Object
            }
            b'[' => {
                let depth = self.open.depth;
                self.enter(Container::Array)?;
                self.leave_to(depth)?;
                Kind::Array
            }
            _ => return Err(self.unexpected()),
        };
        self.state = State::Next;
        Ok(Value { kind, raw: self.text.get(start..self.at).unwrap_or_default() })
    }

    /// Passes over the value that is due, checking it in full.
    ///
    /// # Errors
    /// As for [`value`](Self::value).
    pub fn skip_value(&mut self) -> Result<(), JsonError> {
        self.value().map(|_| ())
    }

    /// Passes over the rest of the innermost open object or array and leaves it. With nothing open it
    /// does nothing.
    ///
    /// # Errors
    /// [`JsonError`] if the rest is bad.
    pub fn leave(&mut self) -> Result<(), JsonError> {
        self.leave_to(self.open.depth.saturating_sub(1))
    }

    /// `None` where more is open than a word tells.
    fn stand(&self) -> Option<Stand> {
        let Open { depth, word, .. } = self.open;
        (depth <= 64).then_some(Stand { limit: self.limit, state: self.state, depth, word })
    }

    /// The cursor's place.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { at: self.at, stand: self.stand() }
    }

    /// What lies between a place and this one, which is behind a key or the end of an object; `None` where it
    /// could end otherwise before other bytes, as a number does.
    #[must_use]
    pub fn since(&self, mark: &Mark) -> Option<Stretch<'a>> {
        let bytes = self.text.get(mark.at..self.at).filter(|bytes| matches!(bytes, [.., b'}' | b':']))?;
        Some(Stretch { bytes, before: mark.stand?, after: self.stand()? })
    }

    /// Passes over a stretch that comes again: the same bytes, met as they were met then, need no second check.
    /// `false` where something else is here.
    #[inline]
    pub fn again(&mut self, stretch: &Stretch<'_>) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let known = rest.starts_with(stretch.bytes) && self.stand() == Some(stretch.before);
        if known {
            self.at += stretch.bytes.len();
            self.state = stretch.after.state;
            (self.open.depth, self.open.word) = (stretch.after.depth, stretch.after.word);
        }
        known
    }

    /// Passes over all that is left, so that the whole text has been checked.
    ///
    /// # Errors
    /// [`JsonError`] if the rest is bad or something follows it.
    pub fn finish(mut self) -> Result<(), JsonError> {
        self.leave_to(0)?;
        if self.state == State::Value {
            self.skip_value()?;
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(JsonError::TrailingData { offset: self.at });
        }
        Ok(())
    }

    /// Passes over the rest of all that is open beyond `depth`. A loop, never a recursion: values that
    /// can nest are entered here rather than taken.
    fn leave_to(&mut self, depth: usize) -> Result<(), JsonError> {
        while self.open.depth > depth {
            if self.state == State::Value {
                match self.value_start()? {
                    b'{' => self.enter(Container::Object)?,
                    b'[' => self.enter(Container::Array)?,
                    _ => self.skip_value()?,
                }
            } else if self.open.innermost() == Some(Container::Object) {
                self.next_key()?;
            } else {
                self.next_element()?;
            }
        }
        Ok(())
    }

    /// Goes to the next member or element of the innermost open `container`, or leaves it at its end.
    #[inline]
    fn next(&mut self, container: Container) -> Result<bool, JsonError> {
        if self.open.innermost() != Some(container) {
            return Err(self.unexpected());
        }
        if self.state == State::Value {
            self.skip_value()?;
        }
        let first = self.state == State::First;
        self.skip_space();
        match self.text.get(self.at) {
            Some(&byte) if byte == container.end() => {
                self.at += 1;
                self.open.pop();
                self.state = State::Next;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn key(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        if self.text.get(start) != Some(&b'"') {
            return Err(self.unexpected());
        }
        let (end, escaped) = scan::string(self.text, start)?;
        self.at = end;
        self.skip_space();
        if self.text.get(self.at) != Some(&b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.state = State::Value;
        Ok(Value { kind: Kind::String { escaped }, raw: self.text.get(start..end).unwrap_or_default() })
    }

    fn enter(&mut self, container: Container) -> Result<(), JsonError> {
        if self.open.depth >= self.limit {
            return Err(JsonError::TooDeep { offset: self.at });
        }
        self.open.push(container);
        self.at += 1;
        self.state = State::First;
        Ok(())
    }

    /// Goes to the value that is due and returns its first byte.
    #[inline]
    fn value_start(&mut self) -> Result<u8, JsonError> {
        if self.state != State::Value {
            return Err(self.unexpected());
        }
        self.skip_space();
        self.text.get(self.at).copied().ok_or_else(|| self.unexpected())
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<Kind, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(kind);
        }
        self.at += rest.iter().zip(word).take_while(|(byte, wanted)| byte == wanted).count();
        Err(self.unexpected())
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[cold]
    const fn unexpected(&self) -> JsonError {
        if self.at < self.text.len() {
            JsonError::UnexpectedByte { offset: self.at }
        } else {
            JsonError::UnexpectedEnd { offset: self.text.len() }
        }
    }
}

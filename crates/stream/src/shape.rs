//! Records of an event look alike: what stands between the values that differ, half of an envelope, is the same
//! from one to the next, and is compared in place of being walked.

use tripline_model::json::{Cursor, JsonError, Mark, Stretch, Value};

/// The members of a record that are used, as they stand.
pub(crate) trait Members<'a>: Copy + Default {
    /// Which of them, of those that differ from record to record.
    type Varying: Copy;

    /// Where one that varies is kept: of those that stand there twice the last counts.
    fn place(&mut self, member: Self::Varying) -> &mut Option<Value<'a>>;

    /// Reads the record, an object, that is due. Values that vary are taken by [`Walk::varying`].
    fn walk(walk: &mut Walk<'_, 'a, Self>, cursor: &mut Cursor<'a>) -> Result<(), JsonError>;

    /// The same without those that vary.
    fn constant(self) -> Self;
}

/// How the last record was laid out. A short cut and never a verdict: a record that is laid out otherwise is
/// walked.
pub(crate) struct Shape<'a, M: Members<'a>> {
    /// What stands before each value that varies, in the order of the values.
    before: Vec<(Stretch<'a>, M::Varying)>,
    /// What follows the last of them, to the record's end; `None` where there is no shape to go by.
    end: Option<Stretch<'a>>,
    /// The members that do not vary.
    constant: M,
}

impl<'a, M: Members<'a>> Default for Shape<'a, M> {
    fn default() -> Self {
        Self { before: Vec::new(), end: None, constant: M::default() }
    }
}

impl<'a, M: Members<'a>> Shape<'a, M> {
    /// Reads the record, an object, that is due.
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<M, JsonError> {
        let mut ahead = cursor.clone();
        if let Some(members) = self.read_alike(&mut ahead)? {
            *cursor = ahead;
            return Ok(members);
        }
        self.walk(cursor)
    }

    /// Reads a record that is laid out as the last one was; `None` for any other.
    fn read_alike(&self, cursor: &mut Cursor<'a>) -> Result<Option<M>, JsonError> {
        let Some(end) = &self.end else { return Ok(None) };
        let mut members = self.constant;
        for (before, member) in &self.before {
            if !cursor.again(before) {
                return Ok(None);
            }
            *members.place(*member) = Some(cursor.value()?);
        }
        Ok(cursor.again(end).then_some(members))
    }

    fn walk(&mut self, cursor: &mut Cursor<'a>) -> Result<M, JsonError> {
        self.end = None;
        self.before.clear();
        let mut walk = Walk { shape: self, members: M::default(), from: cursor.mark(), plain: true };
        M::walk(&mut walk, cursor)?;
        let Walk { members, from, plain, .. } = walk;
        self.end = cursor.since(&from).filter(|_| plain);
        self.constant = members.constant();
        Ok(members)
    }
}

/// A walk over a record, by which a shape is found.
pub(crate) struct Walk<'s, 'a, M: Members<'a>> {
    shape: &'s mut Shape<'a, M>,
    /// The members so far.
    pub(crate) members: M,
    /// Where the last value that varies ended.
    from: Mark,
    /// A record of the same shape can be read by this one.
    plain: bool,
}

impl<'a, M: Members<'a>> Walk<'_, 'a, M> {
    /// Takes the value that is due of a member that varies.
    pub(crate) fn varying(&mut self, cursor: &mut Cursor<'a>, member: M::Varying) -> Result<(), JsonError> {
        match cursor.since(&self.from) {
            Some(before) => self.shape.before.push((before, member)),
            None => self.plain = false,
        }
        *self.members.place(member) = Some(cursor.value()?);
        self.from = cursor.mark();
        Ok(())
    }

    /// Has no record be read by this one.
    pub(crate) const fn is_odd(&mut self) {
        self.plain = false;
    }
}

//! Protobuf's wire format, as much of it as an aggregated record needs, read where it lies.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A field's value, told by its wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2: bytes, a text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5: eight or four bytes that no field here has.
    Fixed,
}

/// A message's fields, in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field: its number and value; `None` at the message's end.
    ///
    /// Groups are malformed: they went out of use before this format was made.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first. More bytes than are needed are no fault, more than 64 bits are.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// Writes a field of wire type 0.
pub(crate) fn push_varint(message: &mut Vec<u8>, number: u32, value: u64) {
    push(message, u64::from(number << 3));
    push(message, value);
}

/// Writes a field of wire type 2.
pub(crate) fn push_bytes(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push(message, u64::from(number << 3 | 2));
    push(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn push(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        let mut fields = Fields::of(message);
        let mut read = Vec::new();
        while let Some(field) = fields.next()? {
            read.push(field);
        }
        Ok(read)
    }

    #[test]
    fn fields_of_every_wire_type_are_told_apart() {
        let message = b"\x08\x96\x01\x11........\x1A\x02hi\x25....\xF8\xFF\xFF\xFF\x0F\x00";
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed),
            ((1 << 29) - 1, Value::Varint(0)),
        ];
        assert_eq!(read(message).as_deref(), Ok(&expected[..]));
        assert_eq!(read(b""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        let cases: [(&[u8], &str); 12] = [
            (b"\x08", "a field without its value"),
            (b"\x80", "half a tag"),
            (b"\x08\x80", "half a number"),
            (b"\x11.......", "half a fixed number of eight bytes"),
            (b"\x25...", "half a fixed number of four"),
            (b"\x1A\x03hi", "fewer bytes than it says"),
            (b"\x1A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", "a length that no memory has"),
            (b"\x00\x00", "field number 0"),
            (b"\x0B\x0C", "a group"),
            (b"\x0E", "a wire type that there is not"),
            (b"\x0F", "another"),
            (b"\x88\x80\x80\x80\x10\x00", "a field number of more than 29 bits"),
        ];
        for (message, what) in cases {
            assert_eq!(read(message), Err(Malformed), "{what}");
        }
    }

    #[test]
    fn numbers_have_64_bits_however_many_bytes_they_take() {
        let cases: [(&[u8], Result<u64, Malformed>); 4] = [
            (b"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", Ok(u64::MAX)),
            (b"\x08\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00", Ok(1)),
            (b"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", Err(Malformed)),
            (b"\x08\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", Err(Malformed)),
        ];
        for (message, expected) in cases {
            assert_eq!(read(message), expected.map(|value| vec![(1, Value::Varint(value))]), "{message:x?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let numbers = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        for value in numbers {
            let mut message = Vec::new();
            push_varint(&mut message, 2, value);
            push_bytes(&mut message, 3, &[7; 200]);
            assert_eq!(read(&message), Ok(vec![(2, Value::Varint(value)), (3, Value::Bytes(&[7; 200]))]));
        }
    }
}

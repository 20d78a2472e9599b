//! A cursor over one answer. It never reads past the end, never allocates by a count that the frame only claims, and
//! lends strings out of the frame in place of copying them.

use super::error::Malformed;
use std::borrow::Cow;
use uuid::Uuid;

type Read<T> = Result<T, Malformed>;

/// Position in a frame. `flexible` selects the compact forms and tagged fields of KIP-482.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Cursor<'a> {
    pub const fn new(frame: &'a [u8], flexible: bool) -> Self {
        Self { rest: frame, flexible }
    }

    #[cfg(test)]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Continues in the other form, for ApiVersions, whose header is never flexible.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn skip(&mut self, count: usize) -> Read<()> {
        self.take(count).map(|_| ())
    }

    pub fn bool(&mut self) -> Read<bool> {
        self.fixed::<1>().map(|[byte]| byte != 0)
    }

    /// Whether a nullable structure follows: Kafka writes a byte before it, negative for none.
    pub fn is_present(&mut self) -> Read<bool> {
        self.fixed().map(|bytes| i8::from_be_bytes(bytes) >= 0)
    }

    pub fn i8(&mut self) -> Read<i8> {
        self.fixed().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Read<i16> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Read<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Read<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// The zero id stands for "none".
    pub fn uuid(&mut self) -> Read<Option<Uuid>> {
        self.fixed().map(Uuid::from_bytes).map(|id| Some(id).filter(|id| !id.is_nil()))
    }

    fn uvarint(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a length has more than 32 bits"))
    }

    /// A length; `None` is null. `wide` lengths have four bytes in the classic form, others two.
    fn length(&mut self, wide: bool) -> Read<Option<usize>> {
        if self.flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        let length = if wide { self.i32()? } else { i32::from(self.i16()?) };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed("a length is negative")),
        }
    }

    /// A string as it stands in the frame; null is empty. Nothing checks that it is UTF-8.
    pub fn name(&mut self) -> Read<&'a [u8]> {
        let length = self.length(false)?;
        self.take(length.unwrap_or(0))
    }

    /// A string for people; bytes that are not UTF-8 are replaced, null is empty.
    pub fn text(&mut self) -> Read<Cow<'a, str>> {
        self.name().map(String::from_utf8_lossy)
    }

    /// A nullable string.
    pub fn text_or_null(&mut self) -> Read<Option<Cow<'a, str>>> {
        match self.length(false)? {
            Some(length) => self.take(length).map(String::from_utf8_lossy).map(Some),
            None => Ok(None),
        }
    }

    pub fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = self.length(true)?;
        self.take(length.unwrap_or(0))
    }

    /// The number of elements of an array; null is 0. Every element has at least one byte, so a larger claim is refused
    /// before anything is done with it.
    pub fn count(&mut self) -> Read<usize> {
        self.count_of(1)
    }

    /// As [`Self::count`], for elements of at least `bytes` bytes each.
    pub fn count_of(&mut self, bytes: usize) -> Read<usize> {
        let count = self.length(true)?.unwrap_or(0);
        if count.saturating_mul(bytes) > self.rest.len() {
            return Err(Malformed("an array claims more elements than the frame has bytes"));
        }
        Ok(count)
    }

    /// Skips an array of 32-bit numbers.
    pub fn skip_i32s(&mut self) -> Read<()> {
        let count = self.count()?;
        self.skip(count.saturating_mul(4))
    }

    /// Skips the tagged fields; there are none outside the flexible form.
    pub fn tags(&mut self) -> Read<()> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let length = self.uvarint()?;
            self.skip(length as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_claimed_count_is_refused_when_the_frame_is_shorter() {
        assert!(Cursor::new(&[0x7f, 0xff, 0xff, 0xff, 0, 0], false).count().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], true).count().is_err());
        assert_eq!(Cursor::new(&[0, 0, 0, 2, 9, 9], false).count(), Ok(2));
        assert_eq!(Cursor::new(&[3, 9, 9], true).count(), Ok(2));
    }

    #[test]
    fn null_is_empty_and_negative_lengths_are_malformed() {
        assert_eq!(Cursor::new(&[0xff, 0xff], false).name(), Ok(&[][..]));
        assert_eq!(Cursor::new(&[0], true).text_or_null(), Ok(None));
        assert!(Cursor::new(&[0xff, 0xfe], false).name().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xfe], false).bytes().is_err());
    }

    #[test]
    fn a_length_over_32_bits_is_malformed() {
        assert!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x10], true).uvarint().is_err());
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f], true).uvarint(), Ok(u32::MAX));
        assert!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01], true).uvarint().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_cursor_panic(frame in proptest::collection::vec(any::<u8>(), 0..64), flexible: bool, ops in proptest::collection::vec(0..10u8, 0..40)) {
            let mut cursor = Cursor::new(&frame, flexible);
            for op in ops {
                let before = cursor.remaining();
                let _ = match op {
                    0 => cursor.bool().map(|_| ()),
                    1 => cursor.i16().map(|_| ()),
                    2 => cursor.i32().map(|_| ()),
                    3 => cursor.i64().map(|_| ()),
                    4 => cursor.uuid().map(|_| ()),
                    5 => cursor.text().map(|_| ()),
                    6 => cursor.bytes().map(|_| ()),
                    7 => cursor.count().map(|_| ()),
                    8 => cursor.skip_i32s(),
                    _ => cursor.tags(),
                };
                prop_assert!(cursor.remaining() <= before);
            }
        }
    }
}

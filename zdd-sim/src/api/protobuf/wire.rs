//! The wire format of protobuf: numbered fields, one after the other.

/// Bytes that are no message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed;

/// One field; which of the two values counts is up to its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) varint: u64,
    pub(super) bytes: &'a [u8],
}

impl Field<'_> {
    pub(super) fn signed(&self) -> i64 {
        self.varint.cast_signed()
    }
}

/// The fields of a message, in order.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for place in 0..10 {
            let byte = *self.take(1)?.first().ok_or(Malformed)?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let key = self.varint()?;
        let mut field = Field { number: key >> 3, varint: 0, bytes: &[] };
        match key & 7 {
            0 => field.varint = self.varint()?,
            1 => field.bytes = self.take(8)?,
            2 => {
                let length = self.varint()?;
                field.bytes = self.take(length)?;
            }
            5 => field.bytes = self.take(4)?,
            _ => return Err(Malformed),
        }
        Ok(field)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

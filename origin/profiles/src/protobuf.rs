//! Encoding of Protocol Buffers messages, as far as OTLP and profiles need it.

/// A message: a list of fields, each a key (field number and wire type) and a value.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn number(self, field: u64, value: u64) -> Message {
        self.varint(field << 3).varint(value)
    }

    pub fn fixed(self, field: u64, value: u64) -> Message {
        let mut message = self.varint(field << 3 | 1);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    pub fn double(self, field: u64, value: f64) -> Message {
        self.fixed(field, value.to_bits())
    }

    /// A repeated field of eight-byte numbers, packed.
    pub fn packed(self, field: u64, values: impl IntoIterator<Item = u64>) -> Message {
        let bytes: Vec<u8> = values.into_iter().flat_map(u64::to_le_bytes).collect();
        self.bytes(field, &bytes)
    }

    /// A repeated field of numbers, packed.
    pub fn packed_numbers(self, field: u64, values: impl IntoIterator<Item = u64>) -> Message {
        let packed = values.into_iter().fold(Message::default(), Message::varint);
        self.bytes(field, &packed.0)
    }

    /// An empty value is encoded as an absent field.
    pub fn bytes(self, field: u64, value: &[u8]) -> Message {
        if value.is_empty() {
            return self;
        }
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    pub fn text(self, field: u64, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    /// A message within this one, also if it is empty.
    pub fn part(self, field: u64, part: Message) -> Message {
        let mut message = self.varint(field << 3 | 2).varint(part.0.len() as u64);
        message.0.extend_from_slice(&part.0);
        message
    }

    /// Fields that another message has collected.
    pub fn append(mut self, fields: Message) -> Message {
        self.0.extend_from_slice(&fields.0);
        self
    }

    /// Bytes that [`Message::part`] writes also if there are none.
    pub fn raw(bytes: &[u8]) -> Message {
        Message(bytes.to_vec())
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Seven bits per byte, lowest first; the eighth bit marks that more bytes follow.
    fn varint(mut self, mut value: u64) -> Message {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

/// A `KeyValue` with a text.
pub fn text_attribute(key: &str, value: &str) -> Message {
    attribute(key, Message::default().text(1, value))
}

/// A `KeyValue` of an `AnyValue`.
pub fn attribute(key: &str, value: Message) -> Message {
    Message::default().text(1, key).part(2, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_encoded_as_protocol_buffers() {
        // Examples of the encoding's specification.
        assert_eq!(Message::default().number(1, 150).0, [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().text(2, "testing").0, b"\x12\x07testing");
        assert_eq!(Message::default().part(3, Message::default().number(1, 150)).0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().fixed(7, 1).0, [0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Message::default().packed(6, [1]).0, [0x32, 8, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Message::default().packed_numbers(4, [3, 270, 86942]).0, [0x22, 6, 3, 0x8e, 2, 0x9e, 0xa7, 5]);
        assert_eq!(Message::default().double(5, 1.0).0, [0x29, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert!(Message::default().bytes(4, &[]).0.is_empty());
        assert_eq!(Message::default().part(1, Message::default()).0, [0x0a, 0]);
    }
}

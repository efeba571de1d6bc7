//! The format of pprof: `perftools.profiles.Profile` of `profile.proto`, gzipped. Each number is
//! the field number of that definition.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::protobuf::Message;

/// A function that was called, or what stands for one, such as a queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    pub function: String,
    pub file: String,
    pub line: u32,
}

impl Frame {
    /// A frame that has no place in the source.
    pub fn named(function: impl Into<String>) -> Frame {
        Frame { function: function.into(), file: String::new(), line: 0 }
    }
}

/// Samples by stack, with the values of each.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Types and units of the values.
    pub value_types: [(&'static str, &'static str); 2],
    /// Stacks, the innermost frame first.
    pub samples: HashMap<Vec<Frame>, [u64; 2]>,
    /// Type, unit and number of what lies between two samples, if they are taken by it.
    pub period: Option<(&'static str, &'static str, u64)>,
}

impl Profile {
    pub fn new(value_types: [(&'static str, &'static str); 2]) -> Profile {
        Profile { value_types, samples: HashMap::new(), period: None }
    }

    /// Adds to the values of a stack.
    pub fn add(&mut self, stack: Vec<Frame>, values: [u64; 2]) {
        let sums = self.samples.entry(stack).or_default();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.saturating_add(value);
        }
    }

    /// This profile without the values of an earlier one.
    pub fn less(mut self, before: &Profile) -> Profile {
        for (stack, values) in &mut self.samples {
            let earlier = before.samples.get(stack).copied().unwrap_or_default();
            for (value, earlier) in values.iter_mut().zip(earlier) {
                *value = value.saturating_sub(earlier);
            }
        }
        self
    }

    /// The profile in the format of pprof.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&self.message().into_bytes())?;
        gzip.finish()
    }

    fn message(&self) -> Message {
        let (mut strings, mut places) = (Strings::new(), Places::default());
        let mut message = Message::default();
        for (name, unit) in self.value_types {
            message = message.part(1, value_type(&mut strings, name, unit));
        }
        for (stack, values) in self.samples.iter().filter(|(_, values)| values.iter().any(|value| *value > 0)) {
            let locations: Vec<u64> = stack.iter().map(|frame| places.location(&mut strings, frame)).collect();
            message = message.part(2, Message::default().packed_numbers(1, locations).packed_numbers(2, *values));
        }
        message = message.append(places.locations).append(places.functions);
        if let Some((name, unit, number)) = self.period {
            message = message.part(11, value_type(&mut strings, name, unit)).number(12, number);
        }
        strings.all.iter().fold(message, |message, string| message.part(6, Message::raw(string.as_bytes())))
    }
}

fn value_type(strings: &mut Strings, name: &str, unit: &str) -> Message {
    Message::default().number(1, strings.index(name)).number(2, strings.index(unit))
}

/// The table of strings, which the rest names by index. The first is empty.
struct Strings {
    all: Vec<String>,
    indexes: HashMap<String, u64>,
}

impl Strings {
    fn new() -> Strings {
        Strings { all: vec![String::new()], indexes: HashMap::from([(String::new(), 0)]) }
    }

    fn index(&mut self, string: &str) -> u64 {
        if let Some(index) = self.indexes.get(string) {
            return *index;
        }
        let index = self.all.len() as u64;
        self.all.push(string.to_owned());
        self.indexes.insert(string.to_owned(), index);
        index
    }
}

/// Locations, each a line of a function. Their IDs begin at 1.
#[derive(Default)]
struct Places {
    ids: HashMap<Frame, u64>,
    locations: Message,
    functions: Message,
}

impl Places {
    fn location(&mut self, strings: &mut Strings, frame: &Frame) -> u64 {
        if let Some(id) = self.ids.get(frame) {
            return *id;
        }
        // A function of its own for each location: viewers join functions of the same name.
        let id = self.ids.len() as u64 + 1;
        let (name, file) = (strings.index(&frame.function), strings.index(&frame.file));
        let function = Message::default().number(1, id).number(2, name).number(3, name).number(4, file);
        let line = Message::default().number(1, id).number(2, frame.line.into());
        let location = Message::default().number(1, id).part(4, line);
        self.functions = std::mem::take(&mut self.functions).part(5, function);
        self.locations = std::mem::take(&mut self.locations).part(4, location);
        self.ids.insert(frame.clone(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn profile_is_encoded_as_pprof_defines_it() {
        let mut profile = Profile::new([("waits", "count"), ("time", "nanoseconds")]);
        profile.add(vec![Frame::named("q")], [2, 300]);
        let mut decoded = Vec::new();
        let encoded = profile.encode().expect("compressed");
        GzDecoder::new(encoded.as_slice()).read_to_end(&mut decoded).expect("gzip");
        let mut expected = Vec::<u8>::new();
        expected.extend(b"\x0a\x04\x08\x01\x10\x02\x0a\x04\x08\x03\x10\x04");
        expected.extend(b"\x12\x08\x0a\x01\x01\x12\x03\x02\xac\x02");
        expected.extend(b"\x22\x08\x08\x01\x22\x04\x08\x01\x10\x00");
        expected.extend(b"\x2a\x08\x08\x01\x10\x05\x18\x05\x20\x00");
        expected.extend(b"\x32\x00\x32\x05waits\x32\x05count\x32\x04time\x32\x0bnanoseconds\x32\x01q");
        assert_eq!(decoded, expected);
    }

    #[test]
    fn earlier_values_are_subtracted_and_empty_samples_left_out() {
        let mut before = Profile::new([("waits", "count"), ("time", "nanoseconds")]);
        before.add(vec![Frame::named("q")], [2, 300]);
        let mut after = before.clone();
        after.add(vec![Frame::named("q")], [1, 50]);
        assert_eq!(after.less(&before).samples[&vec![Frame::named("q")]], [1, 50]);
        let nothing = before.clone().less(&before).message().into_bytes();
        assert!(!nothing.windows(3).any(|bytes| bytes == b"\x32\x01q"), "{nothing:?}");
    }
}

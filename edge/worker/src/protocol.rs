//! What isolates and hubs say to each other. Both are of this crate, but while a new version is rolled out they may be of
//! different ones: a change of this grammar takes a new path, and who does not know it asks the origin.
//!
//! ```text
//! question = GET https://hub/v1/messages?waits=(true / false)[&after=SEQUENCE]    ; no `after`: a snapshot is needed
//! push     = POST https://hub/v1/push, the message as body    ; answered as `Gate::push` answers
//! answer   = *part
//! part     = kind age length message
//! kind     = %x00 (a snapshot) / %x01 (deltas) / %x02 (the word: the origin's newest answer to the hub)
//! age      = u64                  ; milliseconds since the hub asked the origin for the word; 0 in other parts
//! length   = u32                  ; octets of the message, which is as the origin signed it
//! ```
//! Numbers are big-endian. Parts stand in the order in which they must be taken, the word last.

/// Where messages are pushed to a hub. A stub's requests need a host, and reach their hub whatever it is.
pub(crate) const PUSH: &str = "https://hub/v1/push";
/// Where messages are asked for.
const MESSAGES: &str = "https://hub/v1/messages";
const HEADER_BYTES: usize = 13;

/// An isolate's question.
pub(crate) struct Question {
    /// The last sequence that it holds; none when it needs a snapshot.
    pub(crate) after: Option<u64>,
    /// Whether a request waits for the answer: then an answer that is old when it arrives is of no use.
    pub(crate) waits: bool,
}

impl Question {
    pub(crate) fn url(&self) -> String {
        let after = self.after.map(|after| format!("&after={after}")).unwrap_or_default();
        format!("{MESSAGES}?waits={}{after}", self.waits)
    }

    /// None for what is no question in this version's grammar.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let query = url.strip_prefix(MESSAGES)?.strip_prefix('?')?;
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        Some(Self {
            after: after.and_then(|after| after.parse().ok()),
            waits: query.split('&').any(|pair| pair == "waits=true"),
        })
    }
}

/// A message and what it is good for.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Snapshot(&'a [u8]),
    Deltas(&'a [u8]),
    Word { age_ms: u64, message: &'a [u8] },
}

/// Writes `part` behind the ones before it. A message that no length can tell is none that the origin makes.
pub(crate) fn write(answer: &mut Vec<u8>, part: Part<'_>) {
    let (kind, age_ms, message) = match part {
        Part::Snapshot(message) => (0, 0, message),
        Part::Deltas(message) => (1, 0, message),
        Part::Word { age_ms, message } => (2, age_ms, message),
    };
    let Ok(length) = u32::try_from(message.len()) else { return };
    answer.reserve(HEADER_BYTES + message.len());
    answer.push(kind);
    answer.extend(age_ms.to_be_bytes());
    answer.extend(length.to_be_bytes());
    answer.extend(message);
}

/// Reads an answer; none when it is not of this grammar to its last byte.
pub(crate) fn read(mut answer: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while !answer.is_empty() {
        let ([kind], rest) = answer.split_first_chunk()?;
        let (age, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        parts.push(match kind {
            0 => Part::Snapshot(message),
            1 => Part::Deltas(message),
            2 => Part::Word { age_ms: u64::from_be_bytes(*age), message },
            _ => return None,
        });
        answer = rest;
    }
    Some(parts)
}

//! The protocol between isolates and hubs. During a rollout, they may have different versions of
//! this crate. So a change of this grammar needs a new path; an isolate whose hub does not know it
//! asks the origin.
//!
//! ```text
//! request = GET https://hub/v1/messages?waits=(true / false)[&after=SEQUENCE]
//!           ; without `after`, a snapshot is needed
//! push    = POST https://hub/v1/push with the message as body ; response of `Gate::push`
//! answer  = *part
//! part    = kind age length message
//! kind    = %x00 (snapshot) / %x01 (deltas) / %x02 (freshness proof)
//! age     = u64      ; milliseconds since the hub's request for the proof; 0 in other parts
//! length  = u32      ; octets of the message
//! message = *OCTET   ; as signed by the origin
//! ```
//! The freshness proof is the origin's newest answer to the hub. Numbers are big-endian. Parts are
//! in the order in which they must be applied; the proof is the last.

/// URL of a push. A request to a Durable Object needs a host, which can be any.
pub(crate) const PUSH_URL: &str = "https://hub/v1/push";
const MESSAGES_URL: &str = "https://hub/v1/messages";
const PART_HEADER_BYTES: usize = 13;

/// An isolate's request for messages.
pub(crate) struct HubRequest {
    /// Sequence of the isolate's replica; none if it needs a snapshot.
    pub(crate) after: Option<u64>,
    /// Whether a client's request waits for the answer, which then must be fresh on arrival.
    pub(crate) is_awaited: bool,
}

impl HubRequest {
    pub(crate) fn to_url(&self) -> String {
        let after = self.after.map(|after| format!("&after={after}")).unwrap_or_default();
        format!("{MESSAGES_URL}?waits={}{after}", self.is_awaited)
    }

    /// None if the URL does not match this version's grammar.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let query = url.strip_prefix(MESSAGES_URL)?.strip_prefix('?')?;
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        Some(Self {
            after: after.and_then(|after| after.parse().ok()),
            is_awaited: query.split('&').any(|pair| pair == "waits=true"),
        })
    }
}

/// A message by its use.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Snapshot(&'a [u8]),
    Deltas(&'a [u8]),
    FreshnessProof { age_ms: u64, message: &'a [u8] },
}

/// Appends a part. A message of 4 GiB or more is left out; no origin sends one.
pub(crate) fn write_part(answer: &mut Vec<u8>, part: Part<'_>) {
    let (kind, age_ms, message) = match part {
        Part::Snapshot(message) => (0, 0, message),
        Part::Deltas(message) => (1, 0, message),
        Part::FreshnessProof { age_ms, message } => (2, age_ms, message),
    };
    let Ok(length) = u32::try_from(message.len()) else { return };
    answer.reserve(PART_HEADER_BYTES + message.len());
    answer.push(kind);
    answer.extend(age_ms.to_be_bytes());
    answer.extend(length.to_be_bytes());
    answer.extend(message);
}

/// Parses an answer; none if it does not match the grammar completely.
pub(crate) fn read_parts(mut answer: &[u8]) -> Option<Vec<Part<'_>>> {
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
            2 => Part::FreshnessProof { age_ms: u64::from_be_bytes(*age), message },
            _ => return None,
        });
        answer = rest;
    }
    Some(parts)
}

//! The protocol between isolates and hubs, and among hubs. During a rollout, they may have
//! different versions of this crate. So a change of this grammar needs a new path; an isolate whose
//! hub does not know it asks the origin.
//!
//! ```text
//! messages = GET https://hub/v2/messages?hub=NAME&waits=(true / false)&hold=MS[&after=SEQUENCE]
//!            [&report=TEXT]
//!            ; `hold`: time for which the hub may wait for a change before it answers
//!            ; without `after`, a snapshot is needed
//!            ; `report`: totals of the isolate's work, for the origin
//! snapshot = GET https://hub/v2/snapshot?id=HEX&part=NUMBER
//!            ; 200 with the octets of this part, 404 if the hub has another snapshot
//! push     = POST https://hub/v2/push with the message as body        ; response of `Gate::push`
//! push-all = POST https://hub/v2/push-all[?at=MS] likewise            ; to the directory
//! register = POST https://hub/v2/hubs?name=NAME                       ; to the directory
//! limit    = POST https://hub/v2/limit?bucket=NUMBER&requests=NUMBER&seconds=NUMBER
//!            ; 200, or 429 with Retry-After
//! proof    = POST https://hub/v2/proof?id=HEX&expires=SECONDS
//!            ; 200 for the first use of a DPoP proof, otherwise 409
//! answer   = load *part
//! load     = u32      ; requests of isolates to this hub in a second
//! part     = kind age length message
//! kind     = %x00 (snapshot) / %x01 (deltas) / %x02 (freshness proof) / %x03 (error)
//! age      = i64      ; milliseconds from the hub's request for the proof to the arrival of the
//!                     ; isolate's request; negative if it was sent later; 0 in other parts
//! length   = u32      ; octets of the message
//! message  = *OCTET   ; as signed by the origin; of a snapshot: 16 OCTET (id) and u64 (octets);
//!                     ; of an error: UTF-8, why the hub has no fresh answer of the origin
//! ```
//! The freshness proof is the origin's newest answer to the hub. Numbers are big-endian. Parts are
//! in the order in which they must be applied; proof and error are the last.

use std::fmt::Write as _;

use tollgate_gate::{EdgeReport, ProofUse};

/// URL of a push to one hub. A request to a Durable Object needs a host, which can be any.
pub(crate) const PUSH_URL: &str = "https://hub/v2/push";
const BASE: &str = "https://hub/v2/";
const PART_HEADER_BYTES: usize = 13;
/// Octets of a part of a snapshot: a Durable Object that answers many new isolates at once must not
/// copy a whole snapshot for each.
pub(crate) const SNAPSHOT_PART_BYTES: usize = 4 << 20;
const MAX_ERROR_BYTES: usize = 512;

/// Last bytes of a snapshot's signature, which identify the snapshot.
pub(crate) type SnapshotId = [u8; 16];

/// The id of a snapshot.
pub(crate) fn snapshot_id(snapshot: &[u8]) -> Option<SnapshotId> {
    snapshot.last_chunk().copied()
}

/// The id as text.
pub(crate) fn id_text(id: &SnapshotId) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A request to a hub.
pub(crate) enum HubRequest {
    Messages(MessagesRequest),
    /// A part of the snapshot with this id, as text.
    SnapshotPart {
        id: String,
        part: usize,
    },
    Push,
    /// A push for all hubs, with the time of its proof.
    PushToAll {
        at_ms: Option<u64>,
    },
    Register {
        name: String,
    },
    Limit {
        bucket: u64,
        requests: u32,
        seconds: u32,
    },
    Proof(ProofUse),
}

/// An isolate's request for messages.
pub(crate) struct MessagesRequest {
    /// Name of the hub that gets it: the object does not know its own.
    pub(crate) hub: String,
    /// Sequence of the isolate's replica; none if it needs a snapshot.
    pub(crate) after: Option<u64>,
    /// Whether a client's request waits for the answer, which then must be fresh on arrival.
    pub(crate) is_awaited: bool,
    /// How long the hub may wait for a change.
    pub(crate) hold_ms: u64,
    /// What the hub hands on to the origin.
    pub(crate) report: Option<Box<EdgeReport>>,
}

impl HubRequest {
    pub(crate) fn to_url(&self) -> String {
        match self {
            Self::Messages(MessagesRequest { hub, after, is_awaited, hold_ms, report }) => {
                let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
                let report = report.as_ref().map(|report| format!("&report={report}")).unwrap_or_default();
                format!("{BASE}messages?hub={hub}&waits={is_awaited}&hold={hold_ms}{after}{report}")
            }
            Self::SnapshotPart { id, part } => format!("{BASE}snapshot?id={id}&part={part}"),
            Self::Push => PUSH_URL.to_owned(),
            Self::PushToAll { at_ms: None } => format!("{BASE}push-all"),
            Self::PushToAll { at_ms: Some(at_ms) } => format!("{BASE}push-all?at={at_ms}"),
            Self::Register { name } => format!("{BASE}hubs?name={name}"),
            Self::Proof(ProofUse { id, expires_at }) => format!("{BASE}proof?id={}&expires={expires_at}", id_text(id)),
            Self::Limit { bucket, requests, seconds } => {
                format!("{BASE}limit?bucket={bucket}&requests={requests}&seconds={seconds}")
            }
        }
    }

    /// None if the URL does not match this version's grammar.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let target = url.strip_prefix(BASE)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        };
        let number = |name: &str| -> Option<u64> { text(name)?.parse().ok() };
        Some(match path {
            "messages" => Self::Messages(MessagesRequest {
                hub: text("hub")?,
                after: number("after"),
                is_awaited: text("waits")? == "true",
                hold_ms: number("hold")?,
                report: text("report").as_deref().and_then(EdgeReport::parse).map(Box::new),
            }),
            "snapshot" => Self::SnapshotPart { id: text("id")?, part: usize::try_from(number("part")?).ok()? },
            "push" => Self::Push,
            "push-all" => Self::PushToAll { at_ms: number("at") },
            "hubs" => Self::Register { name: text("name")? },
            "proof" => {
                let id = u128::from_str_radix(&text("id")?, 16).ok()?.to_be_bytes();
                Self::Proof(ProofUse { id, expires_at: number("expires")? })
            }
            "limit" => {
                let small = |name| number(name).and_then(|number| u32::try_from(number).ok());
                Self::Limit { bucket: number("bucket")?, requests: small("requests")?, seconds: small("seconds")? }
            }
            _ => return None,
        })
    }
}

/// A message by its use.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// The snapshot with this id and size, whose octets are requested in parts.
    Snapshot {
        id: SnapshotId,
        bytes: u64,
    },
    Deltas(&'a [u8]),
    FreshnessProof {
        age_ms: i64,
        message: &'a [u8],
    },
    Error(&'a str),
}

/// Starts an answer.
pub(crate) fn new_answer(load: u32) -> Vec<u8> {
    load.to_be_bytes().to_vec()
}

/// Appends a part. A message of 4 GiB or more is left out; no origin sends one.
pub(crate) fn write_part(answer: &mut Vec<u8>, part: Part<'_>) {
    let mut reference = Vec::new();
    let (kind, age_ms, message) = match part {
        Part::Snapshot { id, bytes } => {
            reference.extend(id);
            reference.extend(bytes.to_be_bytes());
            (0, 0, reference.as_slice())
        }
        Part::Deltas(message) => (1, 0, message),
        Part::FreshnessProof { age_ms, message } => (2, age_ms, message),
        Part::Error(why) => (3, 0, &why.as_bytes()[..why.floor_char_boundary(MAX_ERROR_BYTES)]),
    };
    let Ok(length) = u32::try_from(message.len()) else { return };
    answer.reserve(PART_HEADER_BYTES + message.len());
    answer.push(kind);
    answer.extend(age_ms.to_be_bytes());
    answer.extend(length.to_be_bytes());
    answer.extend(message);
}

/// Parses an answer into the hub's load and the parts; none if it does not match the grammar
/// completely.
pub(crate) fn read_answer(answer: &[u8]) -> Option<(u32, Vec<Part<'_>>)> {
    let (load, mut answer) = answer.split_first_chunk()?;
    let mut parts = Vec::new();
    while !answer.is_empty() {
        let ([kind], rest) = answer.split_first_chunk()?;
        let (age, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        parts.push(match kind {
            0 => {
                let (id, bytes) = message.split_first_chunk()?;
                Part::Snapshot { id: *id, bytes: u64::from_be_bytes(bytes.try_into().ok()?) }
            }
            1 => Part::Deltas(message),
            2 => Part::FreshnessProof { age_ms: i64::from_be_bytes(*age), message },
            3 => Part::Error(std::str::from_utf8(message).ok()?),
            _ => return None,
        });
        answer = rest;
    }
    Some((u32::from_be_bytes(*load), parts))
}

//! A receiver of OTLP over HTTP that keeps all messages, and a decoder of their protobuf.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use tokio::net::TcpListener;

/// Signals and messages.
type Messages = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// The receiver. It runs until the test ends.
pub struct OtlpCollector {
    /// Value for `TOLLGATE_OTLP_ENDPOINT`.
    pub endpoint: String,
    messages: Messages,
}

impl OtlpCollector {
    pub async fn start() -> Result<Self> {
        let (listener, messages) = (TcpListener::bind("127.0.0.1:0").await?, Messages::default());
        let endpoint = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/v1/{signal}", post(receive)).with_state(Arc::clone(&messages));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { endpoint, messages })
    }

    /// The messages of a signal: `traces`, `metrics` or `logs`.
    pub fn messages(&self, signal: &str) -> Vec<Vec<u8>> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().filter(|(of, _)| of == signal).map(|(_, message)| message.clone()).collect()
    }

    /// The spans, metrics or log records of all messages of a signal: the second field of the
    /// second field of the first field, in each of the three.
    pub fn items(&self, signal: &str) -> Vec<Vec<u8>> {
        let messages = self.messages(signal);
        messages.iter().flat_map(|message| values(message, &[1, 2, 2])).collect()
    }
}

async fn receive(State(messages): State<Messages>, Path(signal): Path<String>, body: Bytes) {
    messages.lock().unwrap_or_else(PoisonError::into_inner).push((signal, body.to_vec()));
}

/// The values of all fields at this path of field numbers; none of a malformed message.
pub fn values(message: &[u8], path: &[u64]) -> Vec<Vec<u8>> {
    path.iter().fold(vec![message.to_vec()], |messages, number| {
        let fields = messages.iter().flat_map(|message| fields(message).unwrap_or_default());
        fields.filter(|(field, _)| field == number).map(|(_, value)| value).collect()
    })
}

/// The value of the first field at this path of field numbers.
pub fn value(message: &[u8], path: &[u64]) -> Option<Vec<u8>> {
    values(message, path).into_iter().next()
}

/// The text of the first field at this path.
pub fn text(message: &[u8], path: &[u64]) -> String {
    String::from_utf8(value(message, path).unwrap_or_default()).unwrap_or_default()
}

/// The number of the first field at this path.
pub fn number(message: &[u8], path: &[u64]) -> Option<u64> {
    Some(u64::from_le_bytes(value(message, path)?.try_into().ok()?))
}

/// The text of the attribute of this name. `field`: that of the attributes.
pub fn attribute(message: &[u8], field: u64, name: &str) -> Option<String> {
    let attributes = values(message, &[field]);
    attributes.iter().find(|attribute| text(attribute, &[1]) == name).map(|attribute| text(attribute, &[2, 1]))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fields of a message: number, and value as bytes; none if malformed.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Vec<u8>)>> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
        let (number, rest) = bytes.split_at(end + 1);
        *bytes = rest;
        Some(number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes)?.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            _ => return None,
        };
        let (value, rest) = bytes.split_at_checked(length)?;
        fields.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    Some(fields)
}

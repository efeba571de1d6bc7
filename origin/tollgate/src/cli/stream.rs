//! `tollgate stream add|list|remove`

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use tollgate_model::event_stream::{Delivery, EventType, PushUrl, Stream, StreamName};
use tollgate_model::{Audience, ClientId};
use tollgate_system::Clock;

use super::output::table;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum StreamCommand {
    /// Register a stream of security events; it starts with the next revocation or reinstatement
    Add(AddFlags),
    /// List the streams and the progress of each receiver
    List,
    /// Remove a stream
    Remove {
        /// Name
        name: StreamName,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct AddFlags {
    /// Name, also the stream_id
    name: StreamName,
    /// Push events to this URL (RFC 8935): https, or http on this machine
    #[arg(long, value_name = "URL", required_unless_present = "poll", conflicts_with = "poll")]
    push: Option<PushUrl>,
    /// Let the receiver poll (RFC 8936) at /ssf/poll/NAME
    #[arg(long, requires = "client")]
    poll: bool,
    /// Authorization header of pushes, e.g. "Bearer …"; stored encrypted
    #[arg(long, value_name = "HEADER", requires = "push")]
    authorization: Option<String>,
    /// Client whose tokens may read the stream; they need this issuer as audience and the scope
    /// ssf.read
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<ClientId>,
    /// Audience (aud) of the events
    #[arg(long)]
    audience: Audience,
    /// Event type, session-revoked or token-claims-change; repeatable, or separate by commas
    /// [default: both]
    #[arg(long, value_delimiter = ',')]
    events: Vec<EventType>,
}

#[derive(Serialize)]
struct StreamView {
    name: String,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    audience: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    events: Vec<&'static str>,
    /// Sequence number up to which the receiver acknowledged all events.
    acknowledged_sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at_ms: Option<u64>,
    /// Number of events that the receiver rejected.
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl From<&Stream> for StreamView {
    fn from(stream: &Stream) -> StreamView {
        let (method, url) = match &stream.delivery {
            Delivery::Push { url, .. } => ("push", Some(url.as_str().to_owned())),
            Delivery::Poll => ("poll", None),
        };
        StreamView {
            name: stream.name.to_string(),
            method,
            url,
            audience: stream.audience.to_string(),
            client_id: stream.client.as_ref().map(ToString::to_string),
            events: stream.events.iter().map(|event| event.name()).collect(),
            acknowledged_sequence: stream.acknowledged,
            acknowledged_at_ms: stream.acknowledged_at_ms,
            refused: stream.refused,
            problem: stream.problem.clone(),
        }
    }
}

impl StreamCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            StreamCommand::Add(flags) => add(session, flags).await,
            StreamCommand::List => {
                let streams = session.registry()?.list_streams().await?;
                let views: Vec<StreamView> = streams.iter().map(StreamView::from).collect();
                session.output.print(&views, |views| table(HEADING, &views.iter().map(row).collect::<Vec<_>>()))
            }
            StreamCommand::Remove { name } => {
                session.registry()?.delete_stream(&command_line_actor(), &name).await?;
                session.output.print(&json!({ "name": name.as_str(), "removed": true }), |_| format!("removed {name}"))
            }
        }
    }
}

async fn add(session: &Session, flags: AddFlags) -> anyhow::Result<()> {
    let mut events = if flags.events.is_empty() { EventType::ALL.to_vec() } else { flags.events };
    events.sort_unstable();
    events.dedup();
    let delivery = match flags.push {
        None => Delivery::Poll,
        Some(url) => Delivery::Push {
            sealed_authorization: match &flags.authorization {
                Some(header) => Some(seal(session, header, &Stream::secret_context(&flags.name, &url)).await?),
                None => None,
            },
            url,
        },
    };
    let stream = Stream {
        number: 0,
        name: flags.name,
        audience: flags.audience,
        client: flags.client,
        delivery,
        events,
        acknowledged: 0,
        acknowledged_at_ms: None,
        refused: 0,
        problem: None,
        created_at: Clock::system().now(),
    };
    let stream = session.registry()?.create_stream(&command_line_actor(), &stream).await?;
    session.output.print(&StreamView::from(&stream), |view| match &view.url {
        Some(url) => format!("added {}, which pushes to {url}", view.name),
        None => format!("added {}, to be polled at /ssf/poll/{}", view.name, view.name),
    })
}

async fn seal(session: &Session, header: &str, context: &str) -> anyhow::Result<Vec<u8>> {
    // The value is a secret, so the message does not quote it.
    let is_valid = !header.is_empty() && reqwest::header::HeaderValue::from_str(header).is_ok();
    anyhow::ensure!(is_valid, "--authorization must be a valid header value");
    session.keys().await?.seal_secret(header, context).context("--authorization")
}

const HEADING: [&str; 7] = ["STREAM", "METHOD", "URL", "AUDIENCE", "ACKNOWLEDGED", "REFUSED", "PROBLEM"];

fn row(view: &StreamView) -> [String; 7] {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    [
        view.name.clone(),
        view.method.to_owned(),
        or_dash(&view.url),
        view.audience.clone(),
        view.acknowledged_sequence.to_string(),
        view.refused.to_string(),
        or_dash(&view.problem),
    ]
}

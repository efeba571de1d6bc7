//! Export of all metrics of all issuers, once per interval.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tollgate_model::error_chain::with_causes;
use tollgate_system::Clock;
use tollgate_system::histogram::BUCKET_BOUNDS_SECONDS;

use super::{Collector, nanoseconds, resource, scope};
use crate::telemetry::labelled::{Exemplar, LabelledDurations};
use crate::telemetry::metric::{Metric, MetricKind, Sample, SampleValue};
use crate::telemetry::metric_sources::MetricSources;
use tollgate_profiles::protobuf::{Message, text_attribute};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;

/// Reads and sends the metrics of all issuers once per `period` until `stop`.
pub async fn export_metrics(
    collector: Collector,
    sources: MetricSources,
    period: Duration,
    clock: Clock,
    stop: CancellationToken,
) {
    let (started_at, mut ticks) = (clock.now_ms(), interval(period));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for (issuer, metrics) in sources.read().await {
            let message = message(&issuer, &metrics, started_at, clock.now_ms());
            if let Err(error) = collector.send("/v1/metrics", message).await {
                tracing::warn!(issuer, error = with_causes(&error), "the collector did not accept metrics");
            }
        }
    }
}

/// An `ExportMetricsServiceRequest` of `opentelemetry/proto/collector/metrics/v1`.
fn message(issuer: &str, metrics: &[Metric], started_at_ms: u64, now_ms: u64) -> Message {
    let times = Times { start: nanoseconds(started_at_ms), now: nanoseconds(now_ms) };
    let of_scope = Message::default().part(1, scope());
    let of_scope = metrics.iter().fold(of_scope, |all, metric| all.part(2, metric_message(metric, times)));
    let resource = resource().part(1, text_attribute("tollgate.issuer", issuer));
    Message::default().part(1, Message::default().part(1, resource).part(2, of_scope))
}

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

fn metric_message(metric: &Metric, times: Times) -> Message {
    let points = metric.samples.iter().map(|sample| point_message(sample, times));
    let data = points.fold(Message::default(), |data, point| data.part(1, point));
    let message = Message::default().text(1, metric.name).text(2, metric.help);
    match metric.kind {
        MetricKind::Gauge => message.part(5, data),
        MetricKind::Counter => message.part(7, data.number(2, CUMULATIVE).number(3, 1)),
        MetricKind::Histogram => message.text(3, "s").part(9, data.number(2, CUMULATIVE)),
    }
}

fn point_message(sample: &Sample, times: Times) -> Message {
    let point = Message::default().fixed(2, times.start).fixed(3, times.now);
    let (labels_field, point) = match &sample.value {
        SampleValue::Number(value) => (7, point.double(4, *value)),
        SampleValue::Durations(entry) => (9, histogram_fields(point, entry)),
    };
    sample.labels.iter().fold(point, |point, (name, value)| point.part(labels_field, text_attribute(name, value)))
}

fn histogram_fields(point: Message, entry: &LabelledDurations) -> Message {
    let LabelledDurations { durations, exemplars } = entry;
    let point = point
        .fixed(4, durations.count())
        .double(5, durations.sum.as_secs_f64())
        .packed(6, durations.counts)
        .packed(7, BUCKET_BOUNDS_SECONDS.map(f64::to_bits));
    exemplars.iter().flatten().fold(point, |point, exemplar| point.part(8, exemplar_message(exemplar)))
}

fn exemplar_message(exemplar: &Exemplar) -> Message {
    let message = Message::default().fixed(2, nanoseconds(exemplar.at_ms)).double(3, exemplar.took.as_secs_f64());
    message.bytes(5, &exemplar.trace)
}

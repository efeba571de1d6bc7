//! An origin as operators see it: metrics, dashboards and alerts, logs, traces, profiles.

mod alerts;
mod edge_activity;
mod export;
mod logs;
mod metrics;
mod profiles;

//! State shared by all instances.

use super::allowed_hosts::AllowedHosts;
use super::key_value::KeyValue;
use crate::upstream::Client;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

/// State shared by all instances.
pub(crate) struct Shared {
    /// Spin variables: settings with names in lower case.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) key_value: KeyValue,
    pub(crate) client: Client,
    pub(crate) allowed_hosts: AllowedHosts,
    /// The runner is shutting down: cancelled instances are not errors.
    pub(crate) is_shutting_down: AtomicBool,
}

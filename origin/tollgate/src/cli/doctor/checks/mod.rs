//! The checks, one file each. Each takes the deployment and returns what it found.

mod accounts;
mod clocks;
mod database;
mod disk;
mod dns;
mod edges;
mod files;
mod issuer;
mod keys;
mod origin;
mod proxies;
mod redis;
mod settings;
mod tls;
mod weak_settings;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::deployment::Deployment;
use super::finding::Finding;

type Check<'a> = (&'static str, BoxFuture<'a, Vec<Finding>>);

/// All checks, in the order in which their findings are shown: what others depend on first.
pub(super) fn all(deployment: &Deployment) -> Vec<Check<'_>> {
    vec![
        ("settings", std::future::ready(settings::check(deployment)).boxed()),
        ("weak settings", std::future::ready(weak_settings::check(deployment)).boxed()),
        ("files", std::future::ready(files::check(deployment)).boxed()),
        ("database", database::check(deployment).boxed()),
        ("disk", disk::check(deployment).boxed()),
        ("keys", keys::check(deployment).boxed()),
        ("accounts", accounts::check(deployment).boxed()),
        ("redis", redis::check(deployment).boxed()),
        ("dns", dns::check(deployment).boxed()),
        ("tls", tls::check(deployment).boxed()),
        ("issuer", issuer::check(deployment).boxed()),
        ("origin", origin::check(deployment).boxed()),
        ("proxies", proxies::check(deployment).boxed()),
        ("clocks", clocks::check(deployment).boxed()),
        ("edges", edges::check(deployment).boxed()),
    ]
}

//! Values of command line arguments that several commands take.

use clap::ValueEnum;

/// An edge gate that can be started.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Edge {
    /// The WIT component in wasmtime (tollgate-edge)
    Runner,
    /// The Spin component, hosted by tollgate-edge as Spin hosts it
    Spin,
    /// The Cloudflare Worker, in workerd under `wrangler dev`
    Worker,
}

impl Edge {
    pub(crate) const ALL: [Edge; 3] = [Edge::Runner, Edge::Spin, Edge::Worker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Edge::Runner => "runner",
            Edge::Spin => "spin",
            Edge::Worker => "worker",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Everything
    All,
    /// The programs tollgate and tollgate-edge, and the example API
    Native,
    /// The WIT component and the Spin component
    Components,
    /// The Cloudflare Worker
    Worker,
}

/// A part of the tests that runs alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    /// Tests inside the crates, and the examples in the core's documentation
    Unit,
    /// Tests of the crates from outside, and of running origins and edges
    Integration,
    /// Public OAuth clients and schemathesis against a running origin; named, also the clients
    /// that take long to build or start
    Clients,
    /// Users and single-page applications in Chromium
    Browser,
    /// What lies in deploy/: images, proxies, Compose, Kubernetes; named, also the Helm chart
    Deploy,
}

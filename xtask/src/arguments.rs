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
    /// Two builds of `cargo xtask dist`, compared and installed; takes an hour on two cores, so it
    /// runs only where it is named
    Dist,
    /// An origin of an older commit and one of this checkout on one database; builds the older one,
    /// so it runs only where it is named
    Upgrade,
}

/// A kind of machine that packages are for, by Debian's name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// x86-64
    Amd64,
    /// AArch64
    Arm64,
}

impl Architecture {
    pub(crate) const ALL: [Architecture; 2] = [Architecture::Amd64, Architecture::Arm64];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }

    /// Rust's name of the target with static programs.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Architecture::Amd64 => "x86_64-unknown-linux-musl",
            Architecture::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Whether this machine is of this kind.
    pub(crate) fn is_this_machine(self) -> bool {
        self.target().starts_with(std::env::consts::ARCH)
    }
}

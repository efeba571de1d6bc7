//! Workers: each has one request at a time, and what it needs for the next.

use std::sync::Arc;

use anyhow::Context as _;

use super::Scenario;
use super::failure::Failure;
use super::session::Session;
use super::target::{Target, Tokens};

/// One of the concurrent senders.
pub(super) struct Worker {
    target: Arc<Target>,
    task: Task,
}

enum Task {
    ClientCredentials,
    /// The current refresh token.
    Refresh(String),
    /// The access token to introspect.
    Introspect(String),
    /// The signed-in user who approves.
    Device(Session),
    SignIn,
}

impl Worker {
    /// Makes what the workers need: tokens, grants, a session.
    pub(super) async fn prepare_all(
        target: &Arc<Target>,
        scenario: Scenario,
        connections: u32,
    ) -> anyhow::Result<Vec<Worker>> {
        let prepared = Worker::try_prepare_all(target, scenario, connections).await;
        prepared.map_err(|failure| anyhow::anyhow!("{failure}")).with_context(|| {
            format!("the target refuses the preparation of {scenario:?}: see `tollgate bench --help` for what it needs")
        })
    }

    async fn try_prepare_all(
        target: &Arc<Target>,
        scenario: Scenario,
        connections: u32,
    ) -> Result<Vec<Worker>, Failure> {
        let mut session = match scenario {
            Scenario::Refresh | Scenario::Device => Session::for_devices(target).await?,
            Scenario::ClientCredentials | Scenario::Introspection | Scenario::SignIn => Session::default(),
        };
        let mut workers = Vec::with_capacity(connections as usize);
        for _ in 0..connections {
            let task = match scenario {
                Scenario::ClientCredentials => Task::ClientCredentials,
                Scenario::SignIn => Task::SignIn,
                Scenario::Introspection => Task::Introspect(target.client_credentials().await?.access_token),
                Scenario::Device => Task::Device(session.clone()),
                Scenario::Refresh => {
                    let tokens = device_flow(target, &mut session).await?;
                    Task::Refresh(tokens.refresh_token.ok_or(Failure::Lacks("a refresh token"))?)
                }
            };
            workers.push(Worker { target: Arc::clone(target), task });
        }
        Ok(workers)
    }

    /// Does the task once.
    pub(super) async fn run_once(&mut self) -> Result<(), Failure> {
        let target = &self.target;
        match &mut self.task {
            Task::ClientCredentials => target.client_credentials().await.map(drop),
            Task::Introspect(token) => target.introspect(token).await,
            Task::Device(session) => device_flow(target, session).await.map(drop),
            Task::SignIn => Session::sign_in(target).await.map(drop),
            Task::Refresh(token) => {
                // After a failure the next request uses the same token: within the reuse grace it
                // gets the same successor.
                *token = target.refresh(token).await?.refresh_token.ok_or(Failure::Lacks("a refresh token"))?;
                Ok(())
            }
        }
    }
}

/// Connects a device: codes, the user's approval, tokens (RFC 8628).
async fn device_flow(target: &Target, session: &mut Session) -> Result<Tokens, Failure> {
    let authorization = target.authorize_device().await?;
    session.approve(target, &authorization.user_code).await?;
    target.redeem_device_code(&authorization.device_code).await
}

//! Creates what the plan names. Each step leaves what exists as it is, so that all of them can run
//! again after an interruption.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use tollgate_config::Settings;
use tollgate_model::encoding::base64url;
use tollgate_model::{Audience, Client, ClientMetadata, GrantType, Resource, TokenProfile};
use tollgate_services::admin::{AdminError, NewUser, Registry};
use tollgate_storage::{Search, StoreError};
use zeroize::Zeroizing;

use super::plan::Plan;
use crate::cli::{command_line_actor, open, registry};
use crate::issuers::default_audience;

/// What became of an object of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ObjectStatus {
    /// Created by this plan: its secret is the plan's.
    Created,
    /// An object of this name existed before.
    Existed,
    /// Another object of this kind exists, and no flag names this one.
    NotNeeded,
}

/// What a first run created.
pub(super) struct Created {
    pub(super) issuer: String,
    pub(super) audience: Audience,
    /// The keys that edges pin, as `tollgate key snapshot` prints them.
    pub(super) snapshot_key: String,
    pub(super) resource: ObjectStatus,
    pub(super) client: ObjectStatus,
    pub(super) admin: ObjectStatus,
}

/// Makes the database this issuer's, and creates keys, resource server, client and administrator.
pub(super) async fn carry_out(plan: &Plan, settings: &Settings) -> anyhow::Result<Created> {
    let store = open(settings).await?;
    let registry = registry(&store, settings)?;
    let created = Box::pin(create_all(plan, settings, &registry)).await;
    store.close().await;
    created
}

async fn create_all(plan: &Plan, settings: &Settings, registry: &Registry) -> anyhow::Result<Created> {
    let issuer = settings.issuer(settings.listen);
    let audience = default_audience(settings, &issuer)?;
    registry.store.adopt_issuer(&issuer).await?;
    let keys = crate::issuer_keys::open_keys(&registry.store, settings).await?;
    let pins: Vec<String> = keys.snapshot_pins().iter().map(|pin| base64url(pin)).collect();
    Ok(Created {
        resource: create_resource(plan, registry, &audience).await?,
        client: create_client(plan, registry).await?,
        admin: create_admin(plan, registry).await?,
        snapshot_key: pins.join(","),
        issuer,
        audience,
    })
}

async fn create_resource(plan: &Plan, registry: &Registry, audience: &Audience) -> anyhow::Result<ObjectStatus> {
    match registry.get_resource(audience.as_str()).await {
        Ok(_) => return Ok(ObjectStatus::Existed),
        Err(AdminError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let (scopes, introspected_by) = (BTreeMap::new(), None);
    let tokens = TokenProfile::preset(plan.verifier);
    let resource = Resource { audience: audience.clone(), name: "API".to_owned(), scopes, introspected_by, tokens };
    registry.save_resource(&command_line_actor(), resource).await?;
    Ok(ObjectStatus::Created)
}

async fn create_client(plan: &Plan, registry: &Registry) -> anyhow::Result<ObjectStatus> {
    let (id, secret, now) = (&plan.client.id, plan.client.secret()?, registry.clock.now());
    if registry.store.find_client(id).await?.is_none() {
        let first = Search { limit: 1, ..Search::default() };
        if !plan.client.is_explicit && !registry.search_clients(&first).await?.is_empty() {
            return Ok(ObjectStatus::NotNeeded);
        }
        let grant_types = vec![GrantType::ClientCredentials];
        let metadata = ClientMetadata { name: id.to_string(), grant_types, ..ClientMetadata::default() }.checked()?;
        let client = Client::new(id.clone(), metadata, now).with_secret(&secret, now);
        unless_taken(registry.store.with_actor(&command_line_actor()).create_client(&client).await)?;
    }
    let stored = registry.store.find_client(id).await?.context("the client was removed meanwhile")?;
    Ok(created_if(stored.has_secret(&secret.hash(), now)))
}

async fn create_admin(plan: &Plan, registry: &Registry) -> anyhow::Result<ObjectStatus> {
    let (name, password) = (&plan.admin.name, || Zeroizing::new(plan.admin.password.reveal().to_owned()));
    if registry.store.find_user_by_name(name).await?.is_none() {
        if !plan.admin.is_explicit && registry.store.has_active_admin().await? {
            return Ok(ObjectStatus::NotNeeded);
        }
        let (claims, external_id) = Default::default();
        let admin = NewUser { name: name.clone(), password: Some(password()), claims, external_id, is_admin: true };
        match registry.create_user(&command_line_actor(), admin).await {
            Err(AdminError::Store(error)) => unless_taken(Err(error))?,
            created => drop(created?),
        }
    }
    let stored = registry.store.find_user_by_name(name).await?.context("the administrator was removed meanwhile")?;
    Ok(created_if(registry.passwords.verify(password(), stored.password_hash).await?))
}

/// Another process may have created the same object from the same plan.
fn unless_taken(created: Result<(), StoreError>) -> Result<(), StoreError> {
    match created {
        Err(StoreError::AlreadyExists(_)) => Ok(()),
        created => created,
    }
}

fn created_if(is_of_this_plan: bool) -> ObjectStatus {
    if is_of_this_plan { ObjectStatus::Created } else { ObjectStatus::Existed }
}

//! `screenshots`: pictures of the pages of a running origin with users, clients, traffic and
//! revocations: the README's in both themes, and every page in every built-in language
//! (docs/images/pages). What the users do in the browser is in tests/browser/screenshots.mjs.

use std::{fs, time::Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::{
    arguments::Edge,
    build, examples,
    postgres::free_port,
    progress, setup,
    stack::{Ports, Stack},
    test,
    workspace::{TempFolder, Workspace, command},
};

/// The first is an administrator.
const USERS: [(&str, &str); 6] = [
    ("mara", "Mara Lindqvist"),
    ("jonas", "Jonas Brandt"),
    ("aiko", "Aiko Tanaka"),
    ("tomas", "Tomás Ferreira"),
    ("priya", "Priya Raman"),
    ("lea", "Léa Moreau"),
];

pub(crate) fn screenshots(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    setup::for_screenshots(workspace)?;
    build::stack(workspace, &[Edge::Runner, Edge::Spin])?;
    let state = TempFolder::new("screenshots")?;
    // The registration page is closed by default.
    fs::write(state.0.join("tollgate.toml"), "sign_up = \"true\"\n")?;
    let mut stack = Stack::start(workspace, &state.0, &Ports::free()?)?;
    let edges = [stack.start_edge(Edge::Runner, free_port()?)?, stack.start_edge(Edge::Spin, free_port()?)?];
    for (name, url) in ["rotterdam", "singapore"].into_iter().zip(&edges) {
        stack.tollgate(&["edge", "add", name, "--url", url])?;
    }
    let settings = json!({
        "issuer": stack.client.origin,
        "edges": edges,
        "people": users(&stack)?,
        "clients": clients(&stack)?,
    });

    stack.tollgate(&["client", "disable", "old-sync"])?;
    stack.tollgate(&["revoke", "subject", "old-sync", "--reason", "the contract with Northsea ended"])?;

    let pictures = workspace.root.join("docs/images");
    fs::create_dir_all(&pictures)?;
    let mut node = command(workspace.npm_bin().join("node"));
    let script = examples::copy_folder(workspace, "tests/browser", &state.0)?;
    node.arg(script.join("screenshots.mjs")).current_dir(script);
    test::with_programs(workspace, &mut node)?;
    node.env("TOLLGATE_TEST_FLOW_SETTINGS", settings.to_string())
        .env("TOLLGATE_TEST_PICTURES", &pictures)
        .env("HOME", &state.0);
    progress::show("taking screenshots (some minutes)", &mut node)?;
    println!("{} written after {}", pictures.display(), progress::seconds(start));
    Ok(())
}

/// Creates the users and returns their credentials by name.
fn users(stack: &Stack<'_>) -> Result<Map<String, Value>> {
    let mut users = Map::new();
    for (name, full_name) in USERS {
        let address = format!("{name}@harbour.example");
        let mut create = vec!["user", "create", "--json", name, "--full-name", full_name, "--email", &address];
        create.extend((name == USERS[0].0).then_some("--admin"));
        let user: Value = serde_json::from_str(&stack.tollgate(&create)?)?;
        users.insert(name.to_owned(), json!({ "username": name, "password": user["password"], "id": user["id"] }));
    }
    Ok(users)
}

/// Registers the resource and the clients, and returns the clients' secrets by ID.
fn clients(stack: &Stack<'_>) -> Result<Map<String, Value>> {
    let origin = stack.client.origin.as_str();
    let scopes = ["reports:read=Read your reports", "reports:write=Write and sign reports in your name"];
    stack.tollgate(&[
        "resource",
        "create",
        origin,
        "--name",
        "Harbour reports",
        "--scope",
        scopes[0],
        "--scope",
        scopes[1],
    ])?;
    let user = "openid profile email offline_access reports:read reports:write";
    let apps: [(&str, &str, &str, &[&str]); 6] = [
        (
            "field-notes",
            "Field Notes",
            "Harbour Surveying",
            &["--redirect-uri", "https://notes.example/callback", "--scope", user],
        ),
        (
            "tide-tables",
            "Tide Tables",
            "Northsea Apps",
            &["--redirect-uri", "https://tides.example/callback", "--public", "--scope", user],
        ),
        (
            "quay-display",
            "Quay display",
            "Harbour Surveying",
            &["--public", "--grant", "device_code", "--grant", "refresh_token", "--scope", user],
        ),
        ("billing", "Billing", "Harbour Finance", &["--scope", "reports:read"]),
        (
            "archive",
            "Report archive",
            "Harbour Surveying",
            &["--alg", "ES256", "--scope", "reports:read reports:write"],
        ),
        ("old-sync", "Old sync", "Northsea Apps", &["--alg", "RS256", "--scope", "reports:read"]),
    ];
    let mut secrets = Map::new();
    for (id, name, owner, rest) in apps {
        let create = ["client", "create", "--json", "--id", id, "--name", name, "--owner", owner];
        let client: Value = serde_json::from_str(&stack.tollgate(&[&create[..], rest].concat())?)?;
        secrets.insert(id.to_owned(), client["client_secret"].clone());
    }
    Ok(secrets)
}

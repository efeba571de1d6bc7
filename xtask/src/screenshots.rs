//! `screenshots`: pictures of the real pages for the README, of a running origin with people, clients, traffic and revocations.
//! The people act in tests/browser/screenshots.mjs; who and what is there, here.

use std::{fs, time::Instant};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::{
    build::{self, Part},
    examples,
    postgres::free_port,
    progress, setup,
    stack::{Edge, Ports, Stack},
    test,
    workspace::{Scratch, Workspace, command},
};

/// The first is an administrator.
const PEOPLE: [(&str, &str); 6] = [
    ("mara", "Mara Lindqvist"),
    ("jonas", "Jonas Brandt"),
    ("aiko", "Aiko Tanaka"),
    ("tomas", "Tomás Ferreira"),
    ("priya", "Priya Raman"),
    ("lea", "Léa Moreau"),
];

/// Takes the pictures anew.
pub(crate) fn screenshots(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    setup::for_edges(workspace, &[Edge::Runner, Edge::Spin])?;
    setup::for_npm(workspace)?;
    setup::for_test(workspace)?;
    build::build(workspace, Part::Native)?;
    build::edges(workspace, &[Edge::Runner, Edge::Spin])?;
    let state = Scratch::new("screenshots")?;
    let mut stack = Stack::start(workspace, &state.0, &Ports::free()?)?;
    let edges = [stack.start_edge(Edge::Runner, free_port()?)?, stack.start_edge(Edge::Spin, free_port()?)?];
    for (name, url) in ["rotterdam", "singapore"].into_iter().zip(&edges) {
        stack.tollgate(&["edge", "add", name, "--url", url])?;
    }
    let told = json!({
        "issuer": stack.road.origin,
        "edges": edges,
        "people": people(&stack)?,
        "clients": clients(&stack)?,
    });

    stack.tollgate(&["client", "disable", "old-sync"])?;
    stack.tollgate(&["revoke", "subject", "old-sync", "--reason", "the contract with Northsea ended"])?;

    let pictures = workspace.root.join("docs/images");
    fs::create_dir_all(&pictures)?;
    let mut node = command(workspace.npm_bin().join("node"));
    let script = examples::copied(workspace, "tests/browser", &state.0)?;
    node.arg(script.join("screenshots.mjs")).current_dir(script);
    test::real_parts(workspace, &mut node)?;
    node.env("TOLLGATE_TEST_STAGE", told.to_string()).env("TOLLGATE_TEST_PICTURES", &pictures).env("HOME", &state.0);
    progress::show("taking pictures (some minutes, in which there is traffic)", &mut node)?;
    println!("{} written after {}", pictures.display(), progress::seconds(start));
    Ok(())
}

/// Who can sign in, by name.
fn people(stack: &Stack<'_>) -> Result<Map<String, Value>> {
    let mut people = Map::new();
    for (name, full_name) in PEOPLE {
        let address = format!("{name}@harbour.example");
        let mut create = vec!["user", "create", "--json", name, "--full-name", full_name, "--email", &address];
        create.extend((name == PEOPLE[0].0).then_some("--admin"));
        let user: Value = serde_json::from_str(&stack.tollgate(&create)?)?;
        people.insert(name.to_owned(), json!({ "username": name, "password": user["password"] }));
    }
    Ok(people)
}

/// What is registered; the secrets of the clients that have one, by their ids.
fn clients(stack: &Stack<'_>) -> Result<Map<String, Value>> {
    let origin = stack.road.origin.as_str();
    let words = ["reports:read=Read your reports", "reports:write=Write and sign reports in your name"];
    stack.tollgate(&[
        "resource",
        "create",
        origin,
        "--name",
        "Harbour reports",
        "--scope",
        words[0],
        "--scope",
        words[1],
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

//! Test vectors of Wycheproof and the RFCs, checked through the public interface. A vector with
//! another answer than its authors expect must be listed in `exceptions.toml` with the reason. A
//! listed exception that does not occur fails the test, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "a test may fail by panic, and the modules that it shares with others are public there"
)]

mod examples;
#[path = "../keys/mod.rs"]
mod keys;
mod signed;
#[path = "../../../tests/kit/src/token_builder.rs"]
mod token_builder;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::signed::Vector;

/// `exceptions.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    exception: Vec<Exception>,
}

/// Vectors for which this crate's answer differs from the authors' expectation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    set: String,
    /// Numbers and ranges of numbers, or sections.
    vectors: Vec<String>,
    /// Always false: no vector is accepted that its authors call invalid.
    accepted: bool,
    reason: String,
}

impl Exception {
    fn names(&self) -> impl Iterator<Item = String> {
        self.vectors.iter().flat_map(|entry| match entry.split_once("..") {
            Some((first, last)) => {
                let (first, last): (u32, u32) = (first.parse().expect("a number"), last.parse().expect("a number"));
                (first..=last).map(|number| number.to_string()).collect::<Vec<_>>()
            }
            None => vec![entry.clone()],
        })
    }
}

/// Counts of the answers for a set.
#[derive(Default)]
struct Counts {
    accepted: u32,
    refused: u32,
    excepted: u32,
}

#[test]
fn every_vector_has_the_expected_answer_or_is_a_listed_exception() {
    let exceptions: Exceptions = toml::from_str(include_str!("exceptions.toml")).expect("exceptions");
    let mut listed = BTreeSet::new();
    for exception in &exceptions.exception {
        assert!(!exception.reason.is_empty() && !exception.accepted, "{} is not refused with a reason", exception.set);
        for name in exception.names() {
            assert!(listed.insert((exception.set.clone(), name.clone())), "{} {name} is listed twice", exception.set);
        }
    }
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in signed::all() {
        let Vector { set, name, is_valid, .. } = &vector;
        let is_accepted = vector.is_accepted();
        let is_listed = listed.remove(&((*set).to_owned(), name.clone()));
        let count = counts.entry(set).or_default();
        match (is_accepted == *is_valid, is_listed) {
            (true, false) if is_accepted => count.accepted += 1,
            (true, false) => count.refused += 1,
            (false, true) => count.excepted += 1,
            (true, true) => wrong.push(format!("{set} {name} is listed as an exception and has the expected answer")),
            (false, false) => wrong.push(format!("{set} {name} is valid: {is_valid}; accepted: {is_accepted}")),
        }
    }
    for (set, count) in &counts {
        let Counts { accepted, refused, excepted } = count;
        println!("{set}: {accepted} valid accepted, {refused} others refused, {excepted} excepted");
    }
    wrong.extend(listed.iter().map(|(set, name)| format!("{set} {name} is listed as an exception and does not exist")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(counts.len() >= 8 && counts.values().all(|count| count.accepted > 0), "a set is missing");
}

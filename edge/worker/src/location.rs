//! Where clients of an isolate are, as the location hint of their hub: Cloudflare creates a Durable
//! Object near its hint. Isolates of one region share hubs, which are near them.

use worker::web_sys;

use crate::cf::Cf;

/// All hints that Cloudflare knows.
const HINTS: [&str; 9] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];
/// Countries of the Middle East, which has a hint but is no continent.
const MIDDLE_EAST: [&str; 15] =
    ["AE", "BH", "CY", "IL", "IQ", "IR", "JO", "KW", "LB", "OM", "PS", "QA", "SA", "SY", "YE"];
/// Longitude that separates west and east of North America, and of Europe.
const NORTH_AMERICA_MIDDLE: f64 = -100.0;
const EUROPE_MIDDLE: f64 = 17.0;
/// Name in place of a hint for requests whose location is unknown.
const UNKNOWN: &str = "any";

/// A region of hubs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location(Option<&'static str>);

impl Location {
    /// The location of the client, as Cloudflare reports it in `request.cf`.
    pub(crate) fn of(request: &web_sys::Request) -> Self {
        let cf = Cf::of(request);
        let longitude = cf.text("longitude").and_then(|degrees| degrees.parse().ok());
        Self(hint(cf.text("continent").as_deref(), cf.text("country").as_deref(), longitude))
    }

    /// The location of the hub of this name.
    pub(crate) fn of_hub(name: &str) -> Self {
        let region = name.split_once('-').map_or(name, |(region, _)| region);
        Self(HINTS.into_iter().find(|hint| *hint == region))
    }

    /// The hint for the runtime; none leaves the choice to it.
    pub(crate) fn hint(self) -> Option<&'static str> {
        self.0
    }

    pub(crate) fn name(self) -> &'static str {
        self.0.unwrap_or(UNKNOWN)
    }
}

fn hint(continent: Option<&str>, country: Option<&str>, longitude: Option<f64>) -> Option<&'static str> {
    if country.is_some_and(|country| MIDDLE_EAST.contains(&country)) {
        return Some("me");
    }
    Some(match continent? {
        "NA" if longitude.is_some_and(|degrees| degrees < NORTH_AMERICA_MIDDLE) => "wnam",
        "NA" => "enam",
        "SA" => "sam",
        "EU" if longitude.is_some_and(|degrees| degrees >= EUROPE_MIDDLE) => "eeur",
        "EU" => "weur",
        "AS" => "apac",
        "OC" | "AN" => "oc",
        "AF" => "afr",
        _ => return None,
    })
}

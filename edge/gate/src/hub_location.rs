//! Locations of a Worker's hubs: Cloudflare creates a Durable Object near its location hint.

/// All location hints that Cloudflare knows.
const HINTS: [&str; 9] = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];
/// Countries of the Middle East, which has a hint but is no continent.
const MIDDLE_EAST: [&str; 15] =
    ["AE", "BH", "CY", "IL", "IQ", "IR", "JO", "KW", "LB", "OM", "PS", "QA", "SA", "SY", "YE"];
/// Longitudes that separate west and east.
const NORTH_AMERICA_MIDDLE: f64 = -100.0;
const EUROPE_MIDDLE: f64 = 17.0;
/// Name in place of a hint if the location is unknown.
const UNKNOWN: &str = "any";

/// A region whose isolates share hubs, which are near them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLocation(Option<&'static str>);

impl HubLocation {
    /// The location of clients on this continent and in this country, by the codes that Cloudflare
    /// reports, and at this longitude.
    pub fn new(continent: Option<&str>, country: Option<&str>, longitude: Option<f64>) -> Self {
        let is_west_of = |middle: f64| longitude.is_some_and(|degrees| degrees < middle);
        Self(match (continent, country) {
            (_, Some(country)) if MIDDLE_EAST.contains(&country) => Some("me"),
            (Some("NA"), _) if is_west_of(NORTH_AMERICA_MIDDLE) => Some("wnam"),
            (Some("NA"), _) => Some("enam"),
            (Some("SA"), _) => Some("sam"),
            (Some("EU"), _) if longitude.is_none() || is_west_of(EUROPE_MIDDLE) => Some("weur"),
            (Some("EU"), _) => Some("eeur"),
            (Some("AS"), _) => Some("apac"),
            (Some("OC" | "AN"), _) => Some("oc"),
            (Some("AF"), _) => Some("afr"),
            _ => None,
        })
    }

    /// The location of the hub of this name, which begins with the location's.
    pub fn of_hub(name: &str) -> Self {
        let location = name.split_once('-').map_or(name, |(location, _)| location);
        Self(HINTS.into_iter().find(|hint| *hint == location))
    }

    /// The hint for the runtime; none leaves the choice to it.
    pub fn hint(self) -> Option<&'static str> {
        self.0
    }

    /// Name of the location's hub of this index.
    pub fn hub(self, index: u32) -> String {
        format!("{}-{index}", self.0.unwrap_or(UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_lead_to_the_hubs_of_their_region() {
        for (continent, country, longitude, name) in [
            ("NA", "US", Some(-122.4), "wnam-0"),
            ("NA", "US", Some(-74.0), "enam-0"),
            ("NA", "US", None, "enam-0"),
            ("SA", "BR", Some(-46.6), "sam-0"),
            ("EU", "DE", Some(13.4), "weur-0"),
            ("EU", "PL", Some(21.0), "eeur-0"),
            ("EU", "FR", None, "weur-0"),
            ("AS", "JP", Some(139.7), "apac-0"),
            ("AS", "AE", Some(55.3), "me-0"),
            ("OC", "AU", Some(151.2), "oc-0"),
            ("AF", "KE", Some(36.8), "afr-0"),
            ("AN", "AQ", None, "oc-0"),
            ("T1", "T1", None, "any-0"),
        ] {
            let location = HubLocation::new(Some(continent), Some(country), longitude);
            assert_eq!(location.hub(0), name, "{country}");
            assert_eq!(HubLocation::of_hub(&location.hub(7)), location, "the name tells the location");
        }
        assert_eq!(HubLocation::new(None, None, None).hint(), None);
        assert_eq!(HubLocation::of_hub("directory").hint(), None);
    }
}

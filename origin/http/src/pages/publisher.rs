//! What users see of a client that requests access: a sign with its initials, who publishes it, and
//! its own pages.
//!
//! A client's logo is not shown. If browsers fetched it, its host would learn who is about to sign
//! in, when and from where, before they agreed to anything; and a picture can imitate another
//! publisher's. Initials in a colour tell clients apart as well.

use tollgate_model::text::displayable;
use tollgate_model::{Client, WebUrl};

/// Colours of the sign; the style sheet has as many.
const COLORS: usize = 6;

/// A client as users see it.
pub(super) struct Publisher {
    pub(super) initials: String,
    /// Number of the sign's colour.
    pub(super) color: usize,
    /// Who is responsible for the client, as the operator checked; empty if unknown.
    pub(super) owner: String,
    pub(super) website: Option<Link>,
    pub(super) policy: Option<Link>,
    pub(super) terms: Option<Link>,
}

/// A page of the client, which opens without a referrer.
pub(super) struct Link {
    pub(super) url: String,
    pub(super) host: String,
}

impl Publisher {
    pub(super) fn new(client: &Client) -> Publisher {
        let metadata = &client.metadata;
        let link = |url: &Option<WebUrl>| url.as_ref().map(|url| Link { url: url.to_string(), host: url.host() });
        Publisher {
            initials: initials(&displayable(&metadata.name)),
            color: client.id.as_str().bytes().map(usize::from).sum::<usize>() % COLORS,
            owner: displayable(metadata.owner.as_deref().unwrap_or_default()),
            website: link(&metadata.client_uri),
            policy: link(&metadata.policy_uri),
            terms: link(&metadata.tos_uri),
        }
    }

    /// A client that registered a logo or pages for users; the sign-in page shows them (OpenID
    /// Connect Registration §2).
    pub(super) fn described(client: &Client) -> Option<Publisher> {
        let metadata = &client.metadata;
        let shown = [&metadata.logo_uri, &metadata.client_uri, &metadata.policy_uri, &metadata.tos_uri];
        shown.into_iter().any(Option::is_some).then(|| Publisher::new(client))
    }
}

/// The first letters of the first two words of a name.
fn initials(name: &str) -> String {
    let first = |word: &str| word.chars().find(|char| char.is_alphanumeric());
    name.split_whitespace().filter_map(first).take(2).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_those_of_two_words() {
        for (name, expected) in [
            ("Field Notes for teams", "FN"),
            ("shop", "S"),
            ("(my) äpp", "MÄ"),
            ("🎉 party", "P"),
            ("\u{1f389}", ""),
            ("تطبيق", "ت"),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }
}

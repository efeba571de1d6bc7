//! Why a request of a client was refused. A response carries it to the layer that logs it.

use tollgate_model::MemberProblem;
use tollgate_model::authorization::RequestParameters;
use tollgate_services::refusals::is_shown;

/// Parameters that a reason may name.
const PARAMETERS: &[&str] = &[
    "access_token",
    "actor_token",
    "audience",
    "authorization_details",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "device_code",
    "dpop_jkt",
    "grant_type",
    "id_token_hint",
    "login_hint",
    "max_age",
    "nonce",
    "post_logout_redirect_uri",
    "prompt",
    "redirect_uri",
    "refresh_token",
    "request_uri",
    "requested_token_type",
    "resource",
    "response_mode",
    "response_type",
    "scope",
    "subject_token",
    "subject_token_type",
];
/// Parameters whose names are also words: a reason means them only if it begins with them.
const WORDS: [&str; 5] = ["assertion", "code", "request", "state", "token"];
/// Credentials that a refused grant may come from.
const GRANTS: [&str; 5] = ["code", "refresh_token", "device_code", "assertion", "subject_token"];

/// A refused request, as far as its handler knows.
#[derive(Debug, Clone)]
pub(crate) struct RefusedRequest {
    /// Error code of the response.
    pub(crate) error: &'static str,
    pub(crate) reason: String,
    pub(crate) parameter: Option<&'static str>,
    /// Value of the parameter, if it may be shown.
    pub(crate) received: Option<String>,
}

impl RefusedRequest {
    /// A refusal for this reason, which names the parameter that is wrong.
    pub(crate) fn new(error: &'static str, reason: String) -> RefusedRequest {
        RefusedRequest { error, parameter: named_parameter(&reason), reason, received: None }
    }

    /// Adds the member of client metadata that is wrong, and its value unless it may be a key.
    pub(crate) fn with_member(mut self, wrong: &MemberProblem) -> RefusedRequest {
        self.parameter = Some(wrong.member);
        self.received = (wrong.member != "jwks").then(|| wrong.value.clone());
        self
    }

    /// Adds the value that the request has for the parameter.
    pub(crate) fn with_request(mut self, parameters: &impl RequestParameters) -> RefusedRequest {
        if self.parameter.is_none() && self.error == "invalid_grant" {
            self.parameter = GRANTS.into_iter().find(|name| parameters.get(name).is_some());
        }
        if self.parameter == Some("resource") && parameters.get("resource").is_none() {
            self.parameter = Some("audience").filter(|name| parameters.get(name).is_some()).or(self.parameter);
        }
        let values = self.parameter.filter(|name| is_shown(name)).map(|name| parameters.all(name));
        self.received = values.filter(|values| !values.is_empty()).map(|values| values.join(" "));
        self
    }
}

/// The parameter that a reason names first.
fn named_parameter(reason: &str) -> Option<&'static str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut words = reason.split(|char: char| !is_part(char)).filter(|word| !word.is_empty()).peekable();
    let first = words.peek().copied().unwrap_or_default();
    let begins_with = WORDS.into_iter().find(|name| *name == first);
    begins_with.or_else(|| words.find_map(|word| PARAMETERS.iter().copied().find(|name| *name == word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Form(&'static [(&'static str, &'static str)]);

    impl RequestParameters for Form {
        fn get(&self, name: &str) -> Option<&str> {
            self.all(name).first().copied()
        }

        fn all(&self, name: &str) -> Vec<&str> {
            self.0.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect()
        }
    }

    #[test]
    fn the_parameter_is_the_one_that_the_reason_names() {
        for (reason, parameter) in [
            ("redirect_uri is not one that this client registered", Some("redirect_uri")),
            ("code_verifier does not match the code_challenge", Some("code_verifier")),
            (
                "unsupported response_type: it is not registered for this client, or the server does not offer it",
                Some("response_type"),
            ),
            ("code is missing", Some("code")),
            ("this client is not registered for the authorization code grant", None),
            ("the requested scope exceeds what is allowed", Some("scope")),
            ("", None),
        ] {
            assert_eq!(named_parameter(reason), parameter, "{reason}");
        }
    }

    #[test]
    fn only_values_without_secrets_are_received() {
        let form = Form(&[
            ("code", "tgc_x"),
            ("redirect_uri", "https://a.example"),
            ("scope", "a b"),
            ("audience", "x"),
            ("audience", "y"),
        ]);
        let about = |error, reason: &str| RefusedRequest::new(error, reason.to_owned()).with_request(&form);
        let replayed = about("invalid_grant", "the grant was used before");
        assert_eq!((replayed.parameter, replayed.received), (Some("code"), None));
        let redirect = about("invalid_request", "redirect_uri is not one that this client registered");
        assert_eq!(redirect.received.as_deref(), Some("https://a.example"));
        let target = about("invalid_target", "tokens for this resource are not allowed");
        assert_eq!((target.parameter, target.received.as_deref()), (Some("audience"), Some("x y")));
    }
}

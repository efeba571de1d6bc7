//! Checks the rules of a route for claims. They come last, so that their answers reveal nothing
//! about a token that is not good.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use super::rule::{ClaimCondition, ClaimRule, ClaimValue, TokenRules};
use crate::json::{self, JsonError};
use crate::refusal::Refusal;

/// What rules read of a token that is good in every other respect.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts<'a> {
    /// `scope`: values separated by spaces.
    pub scope: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// All claims, a JSON object.
    pub claims: &'a str,
}

impl TokenRules {
    /// Checks the rules at the Unix time `now`, in seconds. `leeway` is that of the dates of
    /// tokens.
    ///
    /// # Errors
    /// The first rule that is not met. A claim that is missing or has another type meets none.
    pub fn check(&self, token: &TokenFacts<'_>, leeway: u64, now: u64) -> Result<(), Refusal> {
        let has_scope = |wanted: &String| token.scope.split(' ').any(|value| value == wanted);
        if let Some(first) = self.scope_any.first()
            && !self.scope_any.iter().any(has_scope)
        {
            return Err(Refusal::InsufficientScope { required: first.clone() });
        }
        if !self.clients.is_empty() && !self.clients.iter().any(|client| client == token.client_id) {
            return Err(Refusal::WrongClient);
        }
        if let Some(rule) = self.claims.iter().find(|rule| !rule.is_met_by(token.claims)) {
            return Err(Refusal::WrongClaim { name: rule.name.clone() });
        }
        if self.has_strong_authentication(token.claims) && self.has_recent_authentication(token.claims, leeway, now) {
            return Ok(());
        }
        Err(Refusal::InsufficientAuthentication { acr_values: self.acr.join(" "), max_age: self.max_age })
    }

    fn has_strong_authentication(&self, claims: &str) -> bool {
        let is_one_of = |acr: &str| self.acr.iter().any(|wanted| is_text(acr, wanted));
        self.acr.is_empty() || claim(claims, "acr").is_some_and(is_one_of)
    }

    /// Whether `auth_time` is neither too long ago nor in the future.
    fn has_recent_authentication(&self, claims: &str, leeway: u64, now: u64) -> bool {
        let Some(max_age) = self.max_age else { return true };
        let at = claim(claims, "auth_time").and_then(|value| json::value(value, |reader| reader.numeric_date()).ok());
        at.is_some_and(|at| {
            at <= now.saturating_add(leeway) && now <= at.saturating_add(max_age).saturating_add(leeway)
        })
    }
}

impl ClaimRule {
    /// Whether the claims, a JSON object, meet the condition.
    fn is_met_by(&self, claims: &str) -> bool {
        let Some(value) = claim(claims, &self.name) else { return false };
        match &self.condition {
            ClaimCondition::Equals(wanted) => wanted.equals(value),
            ClaimCondition::OneOf(wanted) => wanted.iter().any(|wanted| wanted.equals(value)),
            ClaimCondition::Contains(wanted) => wanted.is_contained_in(value).unwrap_or_default(),
        }
    }
}

impl ClaimValue {
    /// Whether a JSON value is this one. `1.0` is not the number 1, since readers differ there.
    fn equals(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => is_text(value, text),
            Self::Literal(literal) => value == literal,
        }
    }

    fn is_contained_in(&self, value: &str) -> Result<bool, JsonError> {
        if value.starts_with('[') {
            let mut is_found = false;
            json::value(value, |reader| {
                reader.array(|reader| {
                    is_found |= self.equals(reader.raw()?);
                    Ok(())
                })
            })?;
            return Ok(is_found);
        }
        let Self::Text(wanted) = self else { return Ok(false) };
        let text = json::value(value, |reader| reader.string())?;
        Ok(text.split(' ').any(|word| word == wanted))
    }
}

/// Whether a JSON value is this text.
fn is_text(value: &str, text: &str) -> bool {
    json::value(value, |reader| reader.string()).is_ok_and(|value| value == text)
}

/// The value of a claim as JSON. A name that begins with `/` is a JSON pointer (RFC 6901) to a
/// member of nested objects, as `/realm_access/roles`.
pub(crate) fn claim<'a>(claims: &'a str, name: &str) -> Option<&'a str> {
    let Some(pointer) = name.strip_prefix('/') else { return json::member(claims, name).ok()? };
    pointer.split('/').try_fold(claims, |object, token| {
        let name = if token.contains('~') { unescape(token) } else { token.to_owned() };
        json::member(object, &name).ok()?
    })
}

/// A token of a JSON pointer without its escapes: `~1` is `/`, `~0` is `~`.
fn unescape(token: &str) -> String {
    let mut text = String::with_capacity(token.len());
    let mut letters = token.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '~' if letters.next() == Some('1') => '/',
            other => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Route;
    use super::*;

    const CLAIMS: &str = r#"{"sub":"alice","tenant":"a","admin":true,"level":7,"roles":["reader","w\u0072iter",3],
        "groups":"one two","realm":{"roles":["x"],"a/b":{"c":"d"}},"ratio":1.0,"acr":"gold","auth_time":1000}"#;

    fn check(members: &str, now: u64) -> Result<(), Refusal> {
        let route = Route::read(alloc::format!(r#"{{"path":"/",{members}}}"#).as_bytes()).expect(members);
        let facts = TokenFacts { scope: "read list", client_id: "app", claims: CLAIMS };
        route.token_rules().expect("rules").check(&facts, 5, now)
    }

    fn meets(condition: &str) -> bool {
        let checked = check(&alloc::format!(r#""claims":[{condition}]"#), 0);
        assert!(matches!(checked, Ok(()) | Err(Refusal::WrongClaim { .. })), "{condition}");
        checked.is_ok()
    }

    #[test]
    fn conditions_compare_type_and_value() {
        for condition in [
            r#"{"name":"tenant","equals":"a"}"#,
            r#"{"name":"admin","equals":true}"#,
            r#"{"name":"level","equals":7}"#,
            r#"{"name":"tenant","one_of":["b","a"]}"#,
            r#"{"name":"level","one_of":["7",7]}"#,
            r#"{"name":"roles","contains":"writer"}"#,
            r#"{"name":"roles","contains":3}"#,
            r#"{"name":"groups","contains":"two"}"#,
            r#"{"name":"/realm/roles","contains":"x"}"#,
            r#"{"name":"/realm/a~1b/c","equals":"d"}"#,
            r#"{"name":"sub","equals":"alice"}"#,
        ] {
            assert!(meets(condition), "{condition}");
        }
        for condition in [
            r#"{"name":"tenant","equals":"A"}"#,
            r#"{"name":"tenant","contains":"aa"}"#,
            r#"{"name":"admin","equals":"true"}"#,
            r#"{"name":"level","equals":"7"}"#,
            r#"{"name":"ratio","equals":1}"#,
            r#"{"name":"roles","equals":"reader"}"#,
            r#"{"name":"roles","contains":"read"}"#,
            r#"{"name":"groups","contains":"on"}"#,
            r#"{"name":"level","contains":7}"#,
            r#"{"name":"missing","one_of":["a","b"]}"#,
            r#"{"name":"realm","equals":"x"}"#,
            r#"{"name":"/realm/roles/0","equals":"x"}"#,
            r#"{"name":"/tenant/a","equals":"a"}"#,
        ] {
            assert!(!meets(condition), "{condition}");
        }
        assert!(check(r#""claims":[{"name":"tenant","equals":"a"},{"name":"level","equals":8}]"#, 0).is_err());
    }

    #[test]
    fn scope_and_client_are_one_of_those_named() {
        assert_eq!(check(r#""scope_any":["write","list"],"clients":["other","app"]"#, 0), Ok(()));
        let required = "write".to_owned();
        assert_eq!(check(r#""scope_any":["write","rea"]"#, 0), Err(Refusal::InsufficientScope { required }));
        assert_eq!(check(r#""clients":["App","ap"]"#, 0), Err(Refusal::WrongClient));
    }

    #[test]
    fn authentication_must_be_strong_and_recent() {
        let refused = |acr_values: &str, max_age| {
            Err(Refusal::InsufficientAuthentication { acr_values: acr_values.to_owned(), max_age })
        };
        assert_eq!(check(r#""acr":["platinum","gold"]"#, 0), Ok(()));
        assert_eq!(check(r#""acr":["platinum","golden"]"#, 0), refused("platinum golden", None));
        for (now, is_recent) in [(994, false), (995, true), (1000, true), (1105, true), (1106, false)] {
            let expected = if is_recent { Ok(()) } else { refused("", Some(100)) };
            assert_eq!(check(r#""max_age":100"#, now), expected, "{now}");
        }
        assert_eq!(check(r#""max_age":0,"acr":["gold"]"#, 1006), refused("gold", Some(0)));
    }
}

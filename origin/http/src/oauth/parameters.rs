//! Request parameters: a form (`application/x-www-form-urlencoded`) parsed strictly, or JSON at the
//! short endpoints.
//!
//! A parameter must not repeat (RFC 6749 §3.2), because two readers would pick different values,
//! unless it is a list. An empty parameter counts as missing; unknown ones are ignored.
//! Percent-encoding must be complete and yield UTF-8. Where values are stored or searched for
//! verbatim, call [`Parameters::storable`]; elsewhere each value is parsed as its type.

use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use tollgate_model::authorization::RequestParameters;
use tollgate_model::text::is_storable;

use super::caller::Caller;
use super::error::OAuthError;
use super::form_encoding::{ParameterError, decode};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Parameters that are lists: RFC 8707 §2, RFC 8693 §2.1.
const LISTS: [&str; 2] = ["resource", "audience"];

/// Names and values, sorted by name, equal names in the order of the request. No `Debug`: the
/// values include secrets.
#[derive(Default, Clone)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.named(name).first().map(|(_, value)| value.as_str())
    }

    /// All values of this name.
    fn named(&self, name: &str) -> &[(String, String)] {
        let begin = self.0.partition_point(|(other, _)| other.as_str() < name);
        let named = self.0.get(begin..).unwrap_or_default();
        named.split_at(named.partition_point(|(other, _)| other == name)).0
    }

    /// Value of a required parameter.
    pub(crate) fn required(&self, name: &str, missing: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or(OAuthError::InvalidRequest(missing))
    }

    /// Uses the parameters of a request object; those outside it do not count (RFC 9101 §6.3).
    pub(crate) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Parameters, ParameterError> {
        let mut pairs: Vec<(String, String)> = pairs.into_iter().collect();
        pairs.sort_by(|(name, _), (other, _)| name.cmp(other));
        let repeats = |pair: &[(String, String)]| matches!(pair, [(one, _), (other, _)] if one == other && !LISTS.contains(&one.as_str()));
        if pairs.windows(2).any(repeats) {
            return Err(ParameterError::Repeated);
        }
        pairs.retain(|(_, value)| !value.is_empty());
        Ok(Parameters(pairs))
    }

    /// Parses `a=b&c=d`.
    pub(crate) fn from_form(form: &str) -> Result<Parameters, ParameterError> {
        let pairs = form.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        Parameters::from_pairs(pairs.collect::<Result<Vec<_>, ParameterError>>()?)
    }

    /// The parameters, if the database can store all of them.
    pub(crate) fn storable(self) -> Result<Parameters, ParameterError> {
        match self.0.iter().all(|(_, value)| is_storable(value)) {
            true => Ok(self),
            false => Err(ParameterError::Malformed),
        }
    }

    fn from_json(json: &[u8]) -> Result<Parameters, ParameterError> {
        let Members(pairs) = serde_json::from_slice(json).map_err(|_| ParameterError::Malformed)?;
        Parameters::from_pairs(pairs)
    }
}

impl RequestParameters for Parameters {
    fn get(&self, name: &str) -> Option<&str> {
        Parameters::get(self, name)
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.named(name).iter().map(|(_, value)| value.as_str()).collect()
    }
}

/// Members of an object, in order.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Caller and parameters of an OAuth endpoint: a form only.
pub(crate) struct FormOnly(pub(crate) Caller, pub(crate) Parameters);

/// Caller and parameters of a short endpoint: a form or JSON.
pub(crate) struct FormOrJson(pub(crate) Caller, pub(crate) Parameters);

impl<S: Send + Sync> FromRequest<S> for FormOnly {
    type Rejection = OAuthError;

    async fn from_request(mut request: Request, state: &S) -> Result<FormOnly, OAuthError> {
        let caller = Caller::take(&mut request);
        if media_type(&caller.headers) != Some(FORM) {
            return Err(OAuthError::InvalidRequest("the body must be application/x-www-form-urlencoded"));
        }
        Ok(FormOnly(caller, read_form(request, state).await?))
    }
}

impl<S: Send + Sync> FromRequest<S> for FormOrJson {
    type Rejection = OAuthError;

    async fn from_request(mut request: Request, state: &S) -> Result<FormOrJson, OAuthError> {
        let caller = Caller::take(&mut request);
        let parameters = match media_type(&caller.headers) {
            Some(FORM) => read_form(request, state).await?,
            Some(JSON) => Parameters::from_json(&read_body(request, state).await?)?,
            _ => {
                return Err(OAuthError::InvalidRequest(
                    "the body must be application/x-www-form-urlencoded or application/json",
                ));
            }
        };
        Ok(FormOrJson(caller, parameters))
    }
}

async fn read_form<S: Send + Sync>(request: Request, state: &S) -> Result<Parameters, OAuthError> {
    let body = read_body(request, state).await?;
    let form = str::from_utf8(&body).map_err(|_| ParameterError::Malformed)?;
    Ok(Parameters::from_form(form)?)
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, OAuthError> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|_| OAuthError::InvalidRequest("the body could not be read or is too large"))
}

/// Whether the body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == Some(FORM)
}

/// Media type without parameters, if it is a supported one and sent once.
fn media_type(headers: &HeaderMap) -> Option<&'static str> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else {
        return None;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    [FORM, JSON].into_iter().find(|known| known.eq_ignore_ascii_case(essence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_strictly() {
        let parameters = Parameters::from_form("a=1+2%2B3&empty=&b=%C3%A4&&flag").map_err(|error| error.to_string());
        let parameters = parameters.expect("well-formed");
        assert_eq!(parameters.get("a"), Some("1 2+3"));
        assert_eq!(parameters.get("b"), Some("ä"));
        assert_eq!(parameters.get("empty"), None);
        let list = Parameters::from_form("resource=a&resource=b&audience=").map_err(|error| error.to_string());
        let list = list.expect("lists");
        assert_eq!((list.all("resource"), list.all("audience")), (vec!["a", "b"], vec![]));
        for form in ["a=1&a=1", "a=&a=1", "a=1&%61=1", "scope=a&scope=b"] {
            assert_eq!(Parameters::from_form(form).err(), Some(ParameterError::Repeated), "{form}");
        }
        for form in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=%+1"] {
            assert_eq!(Parameters::from_form(form).err(), Some(ParameterError::Malformed), "{form}");
        }
        let storable = |form| Parameters::from_form(form).and_then(Parameters::storable).is_ok();
        assert!(
            storable("a=two%0D%0Alines&b=%09") && !storable("a=%00") && !storable("a=1&b=x%07") && !storable("a=%7F")
        );
    }

    #[test]
    fn json_is_as_strict() {
        let parameters = Parameters::from_json(br#"{"a":"1","b":""}"#).map_err(|error| error.to_string());
        assert_eq!(parameters.expect("well-formed").get("a"), Some("1"));
        assert_eq!(Parameters::from_json(br#"{"a":"1","a":"2"}"#).err(), Some(ParameterError::Repeated));
        for json in [&b"[]"[..], br#"{"a":1}"#, br#"{"a":["1"]}"#, b"", br#"{"a":"1"} x"#] {
            assert_eq!(Parameters::from_json(json).err(), Some(ParameterError::Malformed));
        }
    }
}

//! The host by which a request is routed, and its route rule.

use tollgate_core::{Config, Route};

use crate::message::Request;
use crate::path::DecodedPath;
use crate::proofs::single_value;

/// The host of the request as its client sees it, with its port: that which a trusted proxy
/// forwards, or else `Host`. `None` if there is none, or more than one.
pub(crate) fn authority<'a>(request: &Request<'a>) -> Option<&'a str> {
    if request.connection.is_from_trusted_proxy
        && let Some(host) = single_value(request, "x-forwarded-host")?
    {
        return Some(host);
    }
    single_value(request, "host")?
}

/// A route rule in metrics, logs and rate limits: `GET,POST api.example/orders/*`.
pub(crate) fn route_label(route: &Route) -> String {
    let separator = if route.methods().is_empty() { "" } else { " " };
    [&*route.methods().join(","), separator, &*route.hosts().join(","), route.path()].concat()
}

/// Finds the route rule for a host, a method and a path. An encoded slash is part of its segment,
/// as the upstream reads it, if the rule allows it. To a server that takes it for a slash, the path
/// must have the same rule, or none.
///
/// # Errors
/// Says what other servers could read differently.
pub(crate) fn find_route<'a>(
    config: &'a Config,
    authority: Option<&str>,
    method: &str,
    path: &DecodedPath<'_>,
) -> Result<&'a Route, String> {
    let find = |path| config.route(authority, method, path).map_err(|ambiguous| ambiguous.to_string());
    let route = find(&path.segments)?;
    let Some(with_slashes_decoded) = &path.with_slashes_decoded else { return Ok(route) };
    if !route.allows_encoded_slash() {
        return Err("the path can be read in more than one way: it has an encoded slash".to_owned());
    }
    let other = find(with_slashes_decoded)?;
    // The default route, whose path is empty, requires a token.
    let is_other_as_strict = std::ptr::eq(route, other) || (other.path().is_empty() && !route.is_public());
    is_other_as_strict.then_some(route).ok_or_else(|| "the path's route depends on its encoded slashes".to_owned())
}

/// The route rule for a request's target as an edge finds it, and the decoded path.
///
/// # Errors
/// Says what other servers could read differently.
#[cfg(feature = "cli")]
pub fn find_route_of_target<'a>(
    config: &'a Config,
    authority: Option<&str>,
    method: &str,
    target: &str,
) -> Result<(&'a Route, String), String> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let path = crate::path::decode(path).map_err(str::to_owned)?;
    let route = find_route(config, authority, method, &path)?;
    Ok((route, path.segments.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    fn config() -> Config {
        let routes = r#"{"path":"/npm/*","scope":["npm"],"encoded_slash":"allow"},
            {"path":"/npm/@secret/*","scope":["secret"]},{"path":"/projects","encoded_slash":"allow","scope":["list"]},
            {"path":"/open/*","public":true,"encoded_slash":"allow"},{"path":"/files/*","scope":["files"]}"#;
        let text = format!(r#"{{"audience":"a","jwks":{{"keys":[]}},"routes":[{routes}]}}"#);
        Config::read(text.as_bytes()).expect("a valid configuration")
    }

    fn scope(path: &str) -> Result<String, String> {
        let path = path::decode(path).map_err(str::to_owned)?;
        find_route(&config(), None, "GET", &path).map(|route| route.scope().join(" "))
    }

    #[test]
    fn encoded_slash_passes_where_its_route_allows_it() {
        assert_eq!(scope("/npm/@types%2Fnode"), Ok("npm".to_owned()));
        assert_eq!(scope("/npm/@types%2fnode/-/node.tgz"), Ok("npm".to_owned()));
        assert_eq!(scope("/open/a%2Fb"), Ok(String::new()));
    }

    #[test]
    fn encoded_slash_never_evades_another_rule() {
        let refused = "the path can be read in more than one way: it has an encoded slash";
        assert_eq!(scope("/files/a%2Fb"), Err(refused.to_owned()));
        assert_eq!(scope("/a%2Fb"), Err(refused.to_owned()));
        assert_eq!(scope("/npm%2Fx"), Err(refused.to_owned()));
        for path in ["/npm/@secret%2Fx", "/npm/%40secret%2fx"] {
            assert_eq!(scope(path), Err("the path's route depends on its encoded slashes".to_owned()), "{path}");
        }
        assert!(scope("/npm/@SECRET%2Fx").is_err());
        assert!(scope("/npm/..%2Ffiles").is_err());
    }
}

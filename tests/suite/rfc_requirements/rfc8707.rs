//! RFC 8707, Resource Indicators.

use tollgate_tests::rfc_requirements::{AUDIENCE, RequestSpec, Requirement, ok, redirected, refused, row};

use super::requests::{FILES, authorize, credentials, push, redeem, refresh};

pub(super) fn rows() -> Vec<Requirement> {
    [values(), grants(), narrowed_grants()].into_iter().flatten().collect()
}

fn many() -> RequestSpec {
    authorize().as_client("many")
}

fn values() -> Vec<Requirement> {
    vec![
        row(
            "2",
            "a resource that the client may use is the token's audience",
            [credentials().set("resource", AUDIENCE)],
            ok().is("access_token@aud", AUDIENCE),
        ),
        row(
            "2",
            "resource MUST be an absolute URI",
            [credentials().set("resource", "/relative")],
            refused("invalid_target"),
        ),
        row(
            "2",
            "resource MUST be an absolute URI: a word",
            [credentials().set("resource", "word")],
            refused("invalid_target"),
        ),
        row(
            "2",
            "resource MUST NOT include a fragment",
            [credentials().set("resource", "https://api.example#part")],
            refused("invalid_target"),
        ),
        row(
            "2",
            "an unknown resource: invalid_target",
            [credentials().set("resource", "https://unknown.example")],
            refused("invalid_target"),
        ),
        row(
            "2",
            "a resource that is not the client's: invalid_target",
            [credentials().set("resource", FILES)],
            refused("invalid_target"),
        ),
        row(
            "2",
            "the spelling of a resource is normalized (RFC 3986 §6.2.3)",
            [credentials().set("resource", "https://api.example:443/")],
            ok().is("access_token@aud", AUDIENCE),
        ),
        row(
            "2",
            "a resource with a path of its own is another",
            [credentials().set("resource", "https://api.example/other")],
            refused("invalid_target"),
        ),
    ]
}

fn grants() -> Vec<Requirement> {
    let both = || many().set("resource", AUDIENCE).append("resource", FILES);
    let redeem_many = || redeem("{1?code}").as_client("many");
    vec![
        row(
            "2.1",
            "an unknown resource at the authorization endpoint: invalid_target, by redirect",
            [authorize().set("resource", "https://unknown.example")],
            redirected("https://app.example/cb?").is("?error", "invalid_target").is("?state", "a state"),
        ),
        row(
            "2.1",
            "an unknown resource in a pushed request: invalid_target",
            [push().set("resource", "https://unknown.example")],
            refused("invalid_target"),
        ),
        row(
            "2.1",
            "resource may be there more than once",
            [both()],
            redirected("https://many.example/cb?").has("?code"),
        ),
        row(
            "2.2",
            "the token is for the one resource that the token request names",
            [both(), redeem_many().set("resource", FILES)],
            ok().is("access_token@aud", FILES),
        ),
        row(
            "2.2",
            "the token request's resource MUST be among the grant's",
            [many().set("resource", AUDIENCE), redeem_many().set("resource", FILES)],
            refused("invalid_target"),
        ),
    ]
}

fn narrowed_grants() -> Vec<Requirement> {
    let both = || many().set("resource", AUDIENCE).append("resource", FILES);
    let redeem_many = || redeem("{1?code}").as_client("many");
    vec![
        row(
            "2.2",
            "without one the token is for what was granted",
            [many().set("resource", FILES), redeem_many()],
            ok().is("access_token@aud", FILES),
        ),
        row(
            "2.2",
            "a refresh may ask for another of the grant's resources",
            [
                both(),
                redeem_many().set("resource", AUDIENCE),
                refresh("{2.refresh_token}").as_client("many").set("resource", FILES),
            ],
            ok().is("access_token@aud", FILES),
        ),
        row(
            "2.2",
            "a refresh MUST NOT reach a resource that was not granted",
            [
                many().set("resource", AUDIENCE),
                redeem_many(),
                refresh("{2.refresh_token}").as_client("many").set("resource", FILES),
            ],
            refused("invalid_target"),
        ),
    ]
}

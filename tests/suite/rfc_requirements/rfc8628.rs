//! RFC 8628, Device Authorization Grant.

use reqwest::Method;
use tollgate_tests::rfc_requirements::{Requirement, Sender, error, get, ok, refused, row, status};

use super::requests::{authorize, device, enter_user_code, introspect, metadata, poll, redeem, refresh};

pub(super) fn rows() -> Vec<Requirement> {
    [requests(), device_answers(), polls(), person(), device_tokens()].into_iter().flatten().collect()
}

fn requests() -> Vec<Requirement> {
    vec![
        row("3.1", "the device asks by POST", [device().method(Method::GET)], status(&[405])),
        row(
            "3.1",
            "client_id is REQUIRED of a client that does not authenticate",
            [device().anonymous()],
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "3.1",
            "an unknown client is refused",
            [device().anonymous().set("client_id", "nobody")],
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "3.1",
            "a scope beyond the client's: invalid_scope",
            [device().as_client("box").set("scope", "write")],
            refused("invalid_scope"),
        ),
        row(
            "3.1",
            "a client without this grant is refused",
            [device().as_client("spa")],
            refused("unauthorized_client"),
        ),
        row(
            "3.1",
            "parameters MUST NOT be included more than once",
            [device().append("scope", "read")],
            refused("invalid_request"),
        ),
        row("3.2", "device_code is REQUIRED", [device()], ok().longer("device_code", 22)),
        row("3.2", "user_code is REQUIRED", [device()], ok().has("user_code")),
        row("3.2", "verification_uri is REQUIRED", [device()], ok().contains("verification_uri", "{issuer}/device")),
        row(
            "3.2",
            "expires_in is REQUIRED",
            [device()],
            ok().text("expires_in", "a number", |text| text.parse::<u64>().is_ok()),
        ),
    ]
}

fn device_answers() -> Vec<Requirement> {
    vec![
        row("3.2", "the answer is application/json", [device()], ok().contains(":content-type", "application/json")),
        row(
            "3.3.1",
            "verification_uri_complete holds the user code",
            [device()],
            ok().contains("verification_uri_complete", "{1.user_code}"),
        ),
        row(
            "6.1",
            "a user code is of few, unambiguous characters, here XXXX-XXXX",
            [device()],
            ok().text("user_code", "XXXX-XXXX without 0, O, 1, I", |code| {
                let bytes = code.as_bytes();
                let good = |byte: &u8| (byte.is_ascii_uppercase() || byte.is_ascii_digit()) && !b"01OI".contains(byte);
                bytes.len() == 9 && bytes[4] == b'-' && bytes[..4].iter().chain(&bytes[5..]).all(good)
            }),
        ),
        row(
            "4",
            "the metadata say device_authorization_endpoint",
            [metadata()],
            ok().is("device_authorization_endpoint", "{issuer}/oauth/device/code"),
        ),
        row(
            "4",
            "the metadata say the grant type",
            [metadata()],
            ok().holds("grant_types_supported", super::requests::DEVICE_CODE_GRANT),
        ),
    ]
}

fn polls() -> Vec<Requirement> {
    vec![
        row(
            "3.5",
            "until the user decides: authorization_pending",
            [device(), poll("{1.device_code}")],
            refused("authorization_pending"),
        ),
        row(
            "3.5",
            "polled faster than the interval: slow_down",
            [device(), poll("{1.device_code}").refused(), poll("{1.device_code}")],
            refused("slow_down"),
        ),
        row(
            "3.5",
            "slow_down does not pass by asking again",
            [device(), poll("{1.device_code}").refused(), poll("{1.device_code}").refused(), poll("{1.device_code}")],
            refused("slow_down"),
        ),
        row("3.4", "device_code is REQUIRED", [poll("").without("device_code")], refused("invalid_request")),
        row("3.4", "an unknown device code is refused", [poll("no-such-code")], refused("invalid_grant")),
        row(
            "3.4",
            "client_id is REQUIRED of a client that does not authenticate",
            [device(), poll("{1.device_code}").anonymous()],
            error(&[400, 401], "invalid_client"),
        ),
        row(
            "3.4",
            "a device code is bound to its client",
            [device(), enter_user_code("{1.user_code}"), poll("{1.device_code}").as_client("box")],
            refused("invalid_grant"),
        ),
        row("3.4", "a user code is no device code", [device(), poll("{1.user_code}")], refused("invalid_grant")),
        row(
            "5.2",
            "a device code MUST NOT be guessable",
            [device(), poll("{sha256:1.device_code}")],
            refused("invalid_grant"),
        ),
    ]
}

fn person() -> Vec<Requirement> {
    vec![
        row(
            "3.5",
            "the person allows: a token of RFC 6749 §5.1",
            [device(), enter_user_code("{1.user_code}"), poll("{1.device_code}")],
            ok().has("access_token").is("token_type", "Bearer").contains(":cache-control", "no-store"),
        ),
        row(
            "3.5",
            "the person denies: access_denied",
            [device(), enter_user_code("{1.user_code}").sent_by(Sender::DenyingUser), poll("{1.device_code}")],
            refused("access_denied"),
        ),
        row(
            "3.4",
            "a device code gives one token",
            [device(), enter_user_code("{1.user_code}"), poll("{1.device_code}"), poll("{1.device_code}")],
            status(&[400]).one_of("error", &["invalid_grant", "expired_token"]),
        ),
        row(
            "3.3",
            "a person who is not signed in signs in first",
            [device(), enter_user_code("{1.user_code}").sent_by(Sender::UserSigningIn), poll("{1.device_code}")],
            ok().has("access_token"),
        ),
        row(
            "3.3",
            "the user is asked to allow only after signing in",
            [device(), get("/device").sent_by(Sender::SignedOutBrowser).set("user_code", "{1.user_code}")],
            ok().contains("~", "name=\"password\"").omits("~", "value=\"allow\""),
        ),
        row(
            "3.3.1",
            "verification_uri_complete leads to a page that shows the code and asks",
            [device(), get("{1.verification_uri_complete}").sent_by(Sender::SignedInBrowser)],
            ok().contains("~", "{1.user_code}").contains("~", "name=\"decision\""),
        ),
        row(
            "3.3.1",
            "opening verification_uri_complete alone allows nothing",
            [device(), get("{1.verification_uri_complete}").sent_by(Sender::SignedInBrowser), poll("{1.device_code}")],
            refused("authorization_pending"),
        ),
    ]
}

fn device_tokens() -> Vec<Requirement> {
    vec![
        row(
            "5.4",
            "the page names the client",
            [device(), get("{1.verification_uri_complete}").sent_by(Sender::SignedInBrowser)],
            ok().contains("~", "tv"),
        ),
        row(
            "6.1",
            "case and dashes of a user code are ignored",
            [device(), enter_user_code("{lower:1.user_code}"), poll("{1.device_code}")],
            ok().has("access_token"),
        ),
        row(
            "3.5",
            "with openid in the scope there is an ID token, with the refresh grant a refresh token",
            [device(), enter_user_code("{1.user_code}"), poll("{1.device_code}")],
            ok().is("id_token@aud", "tv").has("refresh_token"),
        ),
        row(
            "5.6",
            "a device's refresh token rotates as a public client's must",
            [
                device(),
                enter_user_code("{1.user_code}"),
                poll("{1.device_code}"),
                refresh("{3.refresh_token}").as_client("tv"),
            ],
            ok().differs("refresh_token", "{3.refresh_token}"),
        ),
        row(
            "5.4",
            "the device's token is of the scope that the person was shown",
            [
                device().set("scope", "read"),
                enter_user_code("{1.user_code}"),
                poll("{1.device_code}"),
                introspect("{3.access_token}"),
            ],
            ok().is("scope", "read"),
        ),
        row(
            "3.3",
            "an authorization code is no user code",
            [authorize(), enter_user_code("{1?code}").refused(), redeem("{1?code}")],
            ok().has("access_token"),
        ),
    ]
}

//! Third-party OAuth client crates: `public-clients oauth2` and `public-clients openidconnect` run
//! every grant that the unmodified crate supports against the test's origin. They use the protocol
//! of `tests/clients/protocol.mjs`.

mod oauth2_crate;
mod openidconnect_crate;

use std::{env, io};

use anyhow::{Context as _, Result, bail, ensure};
use openidconnect::{HttpRequest, HttpResponse, url::Url};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let test = Test { settings: serde_json::from_str(&env::var("TOLLGATE_TEST_CLIENTS")?)? };
    match env::args().nth(1).as_deref() {
        Some("oauth2") => oauth2_crate::run(&test),
        Some("openidconnect") => openidconnect_crate::run(&test),
        _ => bail!("usage: public-clients oauth2|openidconnect"),
    }
}

/// The test, connected by standard input and output.
struct Test {
    settings: Value,
}

impl Test {
    fn issuer(&self) -> Result<&str> {
        self.settings["issuer"].as_str().context("no issuer")
    }

    /// A member of a registered client's settings.
    fn client_setting(&self, client: &str, member: &str) -> Result<String> {
        let text = self.settings[client][member].as_str().map(str::to_owned);
        text.with_context(|| format!("{client} has no {member}"))
    }

    /// Reports that a step succeeded.
    fn step(&self, name: &str) {
        println!("{}", json!({ "step": name }));
    }

    /// Lets the user open a URL, and returns the URL where the browser ended.
    fn open_as_user(&self, what: &str, value: &str) -> Result<Url> {
        println!("{}", json!({ "ask": what, "value": value }));
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let end: String = serde_json::from_str(&line)?;
        Ok(Url::parse(&end)?)
    }

    /// Lets the user allow a request, and returns code and state. Checks the issuer (RFC 9207).
    fn authorize(&self, url: &Url) -> Result<(String, String)> {
        let callback = self.open_as_user("authorize", url.as_str())?;
        let parameter = |name: &str| {
            let found = callback.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            found.with_context(|| format!("no {name} in {callback}"))
        };
        ensure!(parameter("iss")? == self.issuer()?, "{callback} is from another issuer");
        Ok((parameter("code")?, parameter("state")?))
    }
}

/// HTTP client for the crates: follows no redirects and treats no status as an error. It sends
/// `https` requests without TLS, because the crate `oauth2` revokes only at `https` URLs and the
/// test's origin has no certificate.
fn http(mut request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let plain = request.uri().to_string().replacen("https://", "http://", 1);
    *request.uri_mut() = plain.parse().map_err(|_| ureq::Error::BadUri(plain))?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let (head, mut body) = agent.run(request)?.into_parts();
    Ok(HttpResponse::from_parts(head, body.read_to_vec()?))
}

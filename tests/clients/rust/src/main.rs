//! The public OAuth clients in Rust: `public-clients oauth2` and `public-clients openidconnect` do what each of the two crates
//! can, unmodified, against the origin that the test started. They talk with the test as tests/clients/protocol.mjs says.

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
        _ => bail!("say oauth2 or openidconnect"),
    }
}

/// The test at the other end of standard input and output.
struct Test {
    settings: Value,
}

impl Test {
    fn issuer(&self) -> Result<&str> {
        self.settings["issuer"].as_str().context("no issuer")
    }

    /// A member of what the test registered of a client.
    fn told(&self, client: &str, member: &str) -> Result<String> {
        let text = self.settings[client][member].as_str().map(str::to_owned);
        text.with_context(|| format!("{client} has no {member}"))
    }

    /// Says that a step worked.
    fn step(&self, name: &str) {
        println!("{}", json!({ "step": name }));
    }

    /// Has the person open a URL; where the browser ended.
    fn ask(&self, what: &str, value: &str) -> Result<Url> {
        println!("{}", json!({ "ask": what, "value": value }));
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let end: String = serde_json::from_str(&line)?;
        Ok(Url::parse(&end)?)
    }

    /// Has the person allow a request; the code and the state that came back, with the issuer's name (RFC 9207).
    fn authorize(&self, url: &Url) -> Result<(String, String)> {
        let callback = self.ask("authorize", url.as_str())?;
        let parameter = |name: &str| {
            let found = callback.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
            found.with_context(|| format!("no {name} in {callback}"))
        };
        ensure!(parameter("iss")? == self.issuer()?, "{callback} is from another issuer");
        Ok((parameter("code")?, parameter("state")?))
    }
}

/// The HTTP layer that the crates are given: it sends what they made, follows nothing, and judges no status. An address of
/// https is asked without TLS, as behind a proxy that ends it: the crate `oauth2` revokes at no other, the test's origin has none.
fn http(mut request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let plain = request.uri().to_string().replacen("https://", "http://", 1);
    *request.uri_mut() = plain.parse().map_err(|_| ureq::Error::BadUri(plain))?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let (head, mut body) = agent.run(request)?.into_parts();
    Ok(HttpResponse::from_parts(head, body.read_to_vec()?))
}

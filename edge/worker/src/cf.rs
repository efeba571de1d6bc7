//! What Cloudflare knows about a request and its client, in `request.cf`. A Worker that calls this
//! one by a service binding sets it itself, so it is trusted as this Worker is.

use tollgate_gate::HubLocation;
use worker::{js_sys::Reflect, wasm_bindgen::JsValue, web_sys};

/// An object of `request.cf`; all members are absent if the runtime has set none.
pub(crate) struct Cf(Option<JsValue>);

impl Cf {
    pub(crate) fn of(request: &web_sys::Request) -> Self {
        Self(member(request, "cf"))
    }

    /// A member that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        member(self.0.as_ref()?, name)?.as_string()
    }

    /// The client's location.
    pub(crate) fn location(&self) -> HubLocation {
        let longitude = self.text("longitude").and_then(|degrees| degrees.parse().ok());
        HubLocation::new(self.text("continent").as_deref(), self.text("country").as_deref(), longitude)
    }

    /// SHA-256 of the certificate with which the client has authenticated, if Cloudflare has
    /// verified it (mutual TLS).
    pub(crate) fn client_certificate(&self) -> Option<[u8; 32]> {
        let tls = Self(member(self.0.as_ref()?, "tlsClientAuth"));
        let is_verified =
            tls.text("certVerified")? == "SUCCESS" && tls.text("certRevoked").is_none_or(|revoked| revoked == "0");
        let fingerprint = tls.text("certFingerprintSHA256").filter(|_| is_verified)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(fingerprint.as_bytes().as_chunks::<2>().0) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        (fingerprint.len() == 64).then_some(digest)
    }
}

fn member(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &JsValue::from_str(name)).ok().filter(|value| !value.is_undefined() && !value.is_null())
}

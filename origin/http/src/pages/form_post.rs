//! The page that posts an authorization response to the client (OAuth 2.0 Form Post Response Mode).
//!
//! It has the only script of all pages. The content security policy names it by its hash, so
//! nothing else runs. Without scripts the user presses the button.

use std::sync::LazyLock;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tollgate_model::Client;
use tollgate_model::text::displayable;

use super::page::{Flow, Layout, page_with_script};

/// Submits the form when the page is there.
const SCRIPT: &str = "document.forms[0].submit()";

/// The source expression of the script (CSP Level 3 §2.3.1).
static SCRIPT_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()))));

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage<'a> {
    layout: Layout,
    /// The name of the client.
    client: &'a str,
    redirect_uri: &'a str,
    parameters: &'a [(&'static str, String)],
    script: &'static str,
}

/// Renders the page. It has no `form-action`: the client's own address may redirect to another one,
/// see [`Flow::Application`].
pub(crate) fn page(
    layout: Layout,
    client: &Client,
    redirect_uri: &str,
    parameters: &[(&'static str, String)],
) -> Response {
    let language = layout.messages.language().to_owned();
    let template =
        FormPostPage { layout, client: &displayable(&client.metadata.name), redirect_uri, parameters, script: SCRIPT };
    page_with_script(StatusCode::OK, &template, &language, Flow::Application, Some(SCRIPT_SOURCE.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_named_by_its_hash() {
        let hash = "ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE=";
        assert_eq!(SCRIPT_SOURCE.as_str(), format!("'sha256-{hash}'"));
    }
}

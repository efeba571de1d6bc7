//! What all pages have in common: the layout, and the headers that protect them.

use std::sync::Arc;

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tollgate_messages::{Message, Messages};
use tollgate_model::User;

use super::brand::{Appearance, Brand};
use crate::issuer::Issuer;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What the layout of a page needs.
pub(crate) struct Layout {
    /// The texts, in the reader's language.
    pub(crate) messages: Messages,
    pub(crate) brand: Arc<Brand>,
    /// The issuer's path, before the paths of its pages; often empty.
    pub(crate) base_path: String,
    /// The token of this browser's forms.
    pub(crate) csrf: String,
    /// The `ui_locales` of the request, which forms carry on; often empty.
    pub(crate) ui_locales: String,
    /// Who is signed in; empty for nobody.
    pub(crate) username: String,
    pub(crate) is_admin: bool,
    /// The current entry of the navigation.
    pub(crate) active_nav: &'static str,
    /// The ID of the request, on error pages; empty on others.
    pub(crate) request_id: String,
    /// Whether the page is shown because a form of it was out of date.
    pub(crate) is_stale_form: bool,
}

impl Layout {
    /// The layout for somebody who is not signed in.
    pub(crate) fn new(issuer: &Issuer, appearance: &Appearance, messages: Messages) -> Layout {
        Layout {
            messages,
            brand: Arc::clone(&appearance.brand),
            base_path: issuer.issuer_path(""),
            csrf: String::new(),
            ui_locales: String::new(),
            username: String::new(),
            is_admin: false,
            active_nav: "",
            request_id: String::new(),
            is_stale_form: false,
        }
    }

    /// The layout for a signed-in user, on an entry of the navigation.
    pub(crate) fn for_user(self, user: &User, active_nav: &'static str) -> Layout {
        Layout { username: user.name.to_string(), is_admin: user.is_admin, active_nav, ..self }
    }

    /// A message in the reader's language.
    pub(crate) fn text<'a>(&'a self, id: &'a str) -> Message<'a> {
        self.messages.text(id)
    }
}

/// A page with a title, a message and perhaps a link.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct MessagePage {
    pub(crate) layout: Layout,
    pub(crate) title: String,
    pub(crate) message: String,
    /// A technical description in English; often empty.
    pub(crate) detail: String,
    pub(crate) is_success: bool,
    /// A path of this issuer, and the message that is the link to it.
    pub(crate) link: Option<(&'static str, &'static str)>,
    pub(crate) return_link: Option<ReturnLink>,
}

/// A link to the application that sent the user. Its text names the host, so that the user decides
/// whether to follow it.
#[derive(Debug, Clone)]
pub(crate) struct ReturnLink {
    url: String,
    host: String,
}

impl ReturnLink {
    /// Links to an authorization response at a redirect URI.
    pub(crate) fn new(response: &str) -> ReturnLink {
        ReturnLink { url: response.to_owned(), host: host(response) }
    }
}

/// The host of a redirect URI, to be shown to the user; or the scheme of an app on their device.
pub(super) fn host(redirect_uri: &str) -> String {
    let url = url::Url::parse(redirect_uri).ok();
    let host = url.as_ref().map(|url| url.host_str().map_or_else(|| format!("{}:", url.scheme()), str::to_owned));
    host.unwrap_or_default()
}

/// Which flow a page belongs to: it decides where its forms may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// This origin's own pages: their forms lead to its other pages.
    Own,
    /// An application's authorization or logout, which ends at the application: at its redirect
    /// URI, or wherever that redirects to.
    Application,
}

impl Flow {
    /// The flow's part of the content security policy. Chromium applies `form-action` to every
    /// redirect after a form. Where an application's own address redirects to is not known here,
    /// and addresses such as `http://[::1]:8080` or an app's scheme cannot be written there. So
    /// forms that lead to an application have no such rule; docs/accounts.md says what protects
    /// them.
    fn form_action(self) -> &'static str {
        match self {
            Flow::Own => "; form-action 'self'",
            Flow::Application => "",
        }
    }

    /// Applications open this flow in a window and observe when it ends, which a stricter policy
    /// would prevent.
    fn opener_policy(self) -> &'static str {
        match self {
            Flow::Own => "same-origin",
            Flow::Application => "unsafe-none",
        }
    }
}

/// Browser features that no page needs. `default-src 'none'` covers only resources.
const PERMISSIONS: &str = "accelerometer=(), autoplay=(), bluetooth=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
     hid=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-create=(), publickey-credentials-get=(), \
     screen-wake-lock=(), serial=(), usb=()";

/// Renders a page.
pub(crate) fn page(status: StatusCode, template: &impl Template, language: &str, flow: Flow) -> Response {
    page_with_script(status, template, language, flow, None)
}

/// Renders a page that may have a script with this source expression, and no other.
pub(super) fn page_with_script(
    status: StatusCode,
    template: &impl Template,
    language: &str,
    flow: Flow,
    script: Option<&str>,
) -> Response {
    let html = match template.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "rendering a page failed");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let script = script.map(|source| format!("; script-src {source}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'{}{script}",
        flow.form_action()
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(language) = HeaderValue::try_from(language) {
        headers.insert(CONTENT_LANGUAGE, language);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static(flow.opener_policy()));
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
    let strictest = HeaderValue::from_static("default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap_or(strictest));
    response
}

//! A request as data. Texts may contain placeholders, filled in when the request is sent; see
//! [`super::fixture`].

use reqwest::Method;

use super::jws::Jws;

/// The sender of a request, and how far a browser follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client application: redirects are not followed.
    Client,
    /// A signed-in user who allows the request; the response is where the pages end.
    ConsentingUser,
    /// A signed-in user who denies the request.
    DenyingUser,
    /// A user without a session, who signs in and allows the request.
    UserSigningIn,
    /// A browser with a session that stops at the first page.
    SignedInBrowser,
    /// A browser without a session that stops at the first page.
    SignedOutBrowser,
}

/// Where a JWS goes in the request.
#[derive(Debug, Clone)]
pub(super) enum JwsPosition {
    Parameter(&'static str),
    Header(&'static str),
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// In the query of a GET, in the form body of a POST.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) signed: Vec<(JwsPosition, Jws)>,
    pub(super) client: Option<&'static str>,
    pub(super) sender: Sender,
    pub(super) user_code: Option<String>,
    pub(super) body: Option<(&'static str, String)>,
    pub(super) reuses_browser: bool,
    pub(super) refused: bool,
}

/// A GET of a path at the origin.
pub fn get(path: &str) -> RequestSpec {
    RequestSpec::new(Method::GET, path)
}

/// A POST of a form to a path at the origin.
pub fn post(path: &str) -> RequestSpec {
    RequestSpec::new(Method::POST, path)
}

impl RequestSpec {
    fn new(method: Method, path: &str) -> Self {
        let (path, parameters, headers, signed) = (path.to_owned(), Vec::new(), Vec::new(), Vec::new());
        let (query, client, sender, user_code, body) = (Vec::new(), None, Sender::Client, None, None);
        Self {
            method,
            path,
            query,
            parameters,
            headers,
            signed,
            client,
            sender,
            user_code,
            body,
            reuses_browser: false,
            refused: false,
        }
    }

    /// Sets the method.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets a parameter, replacing one of the same name.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        match self.parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Appends a parameter, even if the name is already used.
    pub fn append(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes the parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// Adds a parameter to the URL, whatever the method.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a body that is not a form.
    pub fn body(mut self, content_type: &'static str, body: &str) -> Self {
        self.body = Some((content_type, body.to_owned()));
        self
    }

    /// Sends as this client: with its registered authentication and its redirect URI; at the
    /// authorization endpoint with its `client_id`.
    pub fn as_client(mut self, client: &'static str) -> Self {
        if self.parameters.iter().any(|(name, _)| name == "redirect_uri") {
            self = self.set("redirect_uri", &format!("{{redirect:{client}}}"));
        }
        if self.sender != Sender::Client {
            return self.set("client_id", client);
        }
        self.client = Some(client);
        self
    }

    /// Removes client authentication.
    pub fn anonymous(mut self) -> Self {
        self.client = None;
        self
    }

    /// Sends from a browser.
    pub fn sent_by(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// User code that the user types.
    pub fn with_user_code(mut self, user_code: &str) -> Self {
        self.user_code = Some(user_code.to_owned());
        self
    }

    /// Continues in the browser of the previous step.
    pub fn same_browser(mut self) -> Self {
        self.reuses_browser = true;
        self
    }

    /// Expects this request to be refused though it is not the last. Every other earlier request
    /// must succeed.
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// Adds a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Adds a DPoP proof.
    pub fn proof(self, proof: Jws) -> Self {
        self.signed_header("dpop", proof)
    }

    /// Adds a JWS in a header.
    pub fn signed_header(mut self, name: &'static str, text: Jws) -> Self {
        self.signed.push((JwsPosition::Header(name), text));
        self
    }

    /// Removes all JWS.
    pub fn unsigned(mut self) -> Self {
        self.signed.clear();
        self
    }

    /// Adds a JWS as a parameter.
    pub fn signed(mut self, name: &'static str, text: Jws) -> Self {
        self.signed.push((JwsPosition::Parameter(name), text));
        self
    }
}

//! A request as data. Texts may hold placeholders, which are filled in when the request is sent; see [`super::fixture`].

use reqwest::Method;

use super::jws::Jws;

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client application: its request is answered, and nothing followed.
    Client,
    /// A person who is signed in and allows what is asked; the answer is where the pages end.
    ConsentingUser,
    /// A person who is signed in and denies what is asked.
    DenyingUser,
    /// A person who is not signed in, signs in, and allows.
    UserSigningIn,
    /// A browser that is signed in and stops at the first page.
    SignedInBrowser,
    /// A browser that is not signed in and stops at the first page.
    SignedOutBrowser,
}

/// Where a signed text goes.
#[derive(Debug, Clone)]
pub(super) enum JwsPosition {
    Parameter(&'static str),
    Header(&'static str),
}

/// A request.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// In the query of a GET, in the form of a POST.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) signed: Vec<(JwsPosition, Jws)>,
    pub(super) client: Option<&'static str>,
    pub(super) sender: Sender,
    pub(super) user_code: Option<String>,
    pub(super) body: Option<(&'static str, String)>,
    pub(super) before: bool,
    pub(super) refused: bool,
}

/// A GET of a path of the origin.
pub fn get(path: &str) -> RequestSpec {
    RequestSpec::new(Method::GET, path)
}

/// A POST of a form to a path of the origin.
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
            before: false,
            refused: false,
        }
    }

    /// Sent by this method.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With exactly one parameter of this name.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        match self.parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// With one more parameter, of whatever name.
    pub fn also(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// With a parameter in the URL, whatever the method.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body that is no form.
    pub fn body(mut self, content_type: &'static str, body: &str) -> Self {
        self.body = Some((content_type, body.to_owned()));
        self
    }

    /// As this client of the world: authenticated in its registered way, and with its redirect URI where there is one; at the
    /// authorization endpoint as its `client_id`.
    pub fn of(mut self, client: &'static str) -> Self {
        if self.parameters.iter().any(|(name, _)| name == "redirect_uri") {
            self = self.set("redirect_uri", &format!("{{redirect:{client}}}"));
        }
        if self.sender != Sender::Client {
            return self.set("client_id", client);
        }
        self.client = Some(client);
        self
    }

    /// As nobody: without any client authentication.
    pub fn anonymous(mut self) -> Self {
        self.client = None;
        self
    }

    /// Sent by a person's browser.
    pub fn sent_by(mut self, sender: Sender) -> Self {
        self.sender = sender;
        self
    }

    /// The code that the person types.
    pub fn typing(mut self, user_code: &str) -> Self {
        self.user_code = Some(user_code.to_owned());
        self
    }

    /// Goes on in the browser that the step before used.
    pub fn same_browser(mut self) -> Self {
        self.before = true;
        self
    }

    /// Refused, though it is not the row's last request: every other one before the last must succeed.
    pub fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// With an access token in the `Authorization` header.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a DPoP proof.
    pub fn proof(self, proof: Jws) -> Self {
        self.signed_header("dpop", proof)
    }

    /// With a signed text in a header.
    pub fn signed_header(mut self, name: &'static str, text: Jws) -> Self {
        self.signed.push((JwsPosition::Header(name), text));
        self
    }

    /// Without signed texts.
    pub fn unsigned(mut self) -> Self {
        self.signed.clear();
        self
    }

    /// With a signed text as a parameter.
    pub fn signed(mut self, name: &'static str, text: Jws) -> Self {
        self.signed.push((JwsPosition::Parameter(name), text));
        self
    }
}

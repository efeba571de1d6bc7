//! The page that asks for confirmation and says what an action does.

use askama::Template;

use super::admin_session::AdminSession;
use crate::pages::page::Layout;

/// A confirmation page. Title, labels, consequences and button are names of messages.
#[derive(Template)]
#[template(path = "console/confirm.html")]
pub(super) struct Confirm {
    layout: Layout,
    title: &'static str,
    /// What the action is about: labels and values.
    subject: Vec<(&'static str, String)>,
    consequences: Vec<&'static str>,
    is_dangerous: bool,
    asks_reason: bool,
    /// Hidden fields of the form.
    carried: Vec<(String, String)>,
    button: &'static str,
    /// The path that the form is sent to.
    action: String,
    /// The path that cancelling leads to.
    back: String,
}

impl Confirm {
    pub(super) fn new(
        admin: &AdminSession,
        active_nav: &'static str,
        title: &'static str,
        button: &'static str,
    ) -> Confirm {
        Confirm {
            layout: admin.layout(active_nav),
            title,
            subject: Vec::new(),
            consequences: Vec::new(),
            is_dangerous: false,
            asks_reason: false,
            carried: Vec::new(),
            button,
            action: String::new(),
            back: String::new(),
        }
    }

    pub(super) fn subject(mut self, label: &'static str, value: &str) -> Confirm {
        self.subject.push((label, value.to_owned()));
        self
    }

    pub(super) fn consequence(mut self, message: &'static str) -> Confirm {
        self.consequences.push(message);
        self
    }

    pub(super) fn dangerous(self) -> Confirm {
        Confirm { is_dangerous: true, ..self }
    }

    /// Adds a field for a reason, for the audit log.
    pub(super) fn asks_reason(self) -> Confirm {
        Confirm { asks_reason: true, ..self }
    }

    pub(super) fn carries(mut self, name: &str, value: &str) -> Confirm {
        self.carried.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the issuer's paths that the form is sent to, and that cancelling leads to.
    pub(super) fn posts(self, action: &str, back: &str) -> Confirm {
        Confirm { action: action.to_owned(), back: back.to_owned(), ..self }
    }
}

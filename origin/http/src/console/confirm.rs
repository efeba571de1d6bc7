//! The page that asks once more before something that cannot simply be taken back, and says what it does.

use askama::Template;

use super::operator::Operator;
use crate::pages::page::Frame;

/// A question.
#[derive(Template)]
#[template(path = "admin/confirm.html")]
pub(super) struct Confirm {
    frame: Frame,
    title: &'static str,
    /// What it is about: a name and a value each.
    about: Vec<(&'static str, String)>,
    /// What will happen.
    says: Vec<String>,
    is_dangerous: bool,
    asks_why: bool,
    /// What the form carries on.
    carried: Vec<(String, String)>,
    button: String,
    /// Where the form goes, and where whoever thinks better of it.
    action: String,
    back: String,
}

impl Confirm {
    pub(super) fn new(operator: &Operator, here: &'static str, title: &'static str, button: &str) -> Confirm {
        Confirm {
            frame: operator.frame(here),
            title,
            about: Vec::new(),
            says: Vec::new(),
            is_dangerous: false,
            asks_why: false,
            carried: Vec::new(),
            button: button.to_owned(),
            action: String::new(),
            back: String::new(),
        }
    }

    pub(super) fn about(mut self, name: &'static str, value: &str) -> Confirm {
        self.about.push((name, value.to_owned()));
        self
    }

    pub(super) fn says(mut self, sentence: &str) -> Confirm {
        self.says.push(sentence.to_owned());
        self
    }

    pub(super) fn dangerous(self) -> Confirm {
        Confirm { is_dangerous: true, ..self }
    }

    /// Asks for a reason, for the record.
    pub(super) fn asks_why(self) -> Confirm {
        Confirm { asks_why: true, ..self }
    }

    pub(super) fn carries(mut self, name: &str, value: &str) -> Confirm {
        self.carried.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Paths of this issuer: where the form goes, and the way back.
    pub(super) fn posts(self, action: &str, back: &str) -> Confirm {
        Confirm { action: action.to_owned(), back: back.to_owned(), ..self }
    }
}

//! Names of browsers, programs and devices, in the reader's language.

use tollgate_messages::{Messages, Value};
use tollgate_model::{Sender, SenderName};

/// The name by which a user may recognise where a request came from.
pub(crate) fn sender_name(sender: &Sender, messages: &Messages) -> String {
    match sender.display_name() {
        SenderName::Named(name) => name.to_owned(),
        SenderName::Browser { browser, system: Some(system) } => {
            let [browser, system] = [browser, system].map(|name| Value::Text(name.to_owned()));
            messages.text("sender-browser").with("browser", browser).with("system", system).to_string()
        }
        SenderName::Browser { browser, system: None } => browser.to_owned(),
        SenderName::Unknown => messages.text("sender-unknown").to_string(),
    }
}

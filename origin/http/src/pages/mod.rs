//! The pages that users see: sign-in, registration, consent, device codes, sessions, password,
//! logout.
//!
//! A handler reads top-down: a [`page_request::PageRequest`], or a
//! [`page_request::CsrfCheckedForm`] whose token was checked; the store; a response. Texts come
//! from the message catalogue (`tollgate-messages`) in the reader's language.
//!
//! Never: scripts, and a content security policy forbids them, except that of [`form_post`], which
//! it names. A change by a form without the CSRF token of the browser's own session.

pub(super) mod assets;
mod attempt_limiter;
pub(super) mod brand;
pub(super) mod browser;
pub(super) mod consent;
pub(super) mod device;
pub(super) mod error;
pub(super) mod form_post;
pub(super) mod known_device;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod page;
pub(super) mod page_request;
pub(super) mod password;
mod publisher;
pub(super) mod query;
pub(super) mod register;
pub(super) mod sender;
pub(super) mod sessions;
pub(super) mod sign_in;
pub(super) mod state;
pub(super) mod time_format;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use tollgate_messages::Catalogue;

    fn read_all(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => read_all(&path, text),
                false => text.push_str(&fs::read_to_string(&path).expect("a text file")),
            }
        }
    }

    #[test]
    fn templates_and_code_use_exactly_the_messages_of_the_catalogue() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut text = String::new();
        for folder in ["templates", "src/pages", "src/console", "src/oauth", "src/oidc"] {
            read_all(&root.join(folder), &mut text);
        }
        let catalogue = Catalogue::load(None).expect("the built-in files are good");
        let ids: BTreeSet<&str> = catalogue.ids().collect();
        let quoted: BTreeSet<&str> = text.split('"').collect();
        for id in &ids {
            assert!(quoted.contains(id), "no page uses the message {id}");
        }
        let calls = [
            "text(\"",
            "subject(\"",
            "consequence(\"",
            "WebError::bad_request(\"",
            "WebError::forbidden(\"",
            "WebError::not_found(\"",
            "WebError::conflict(\"",
            "WebError::unavailable(\"",
        ];
        for call in calls {
            for rest in text.split(call).skip(1) {
                let id = rest.split('"').next().unwrap_or_default();
                assert!(ids.contains(id), "the catalogue lacks {id:?}");
            }
        }
    }
}

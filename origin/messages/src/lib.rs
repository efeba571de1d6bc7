//! Message catalogue: the texts that people read, by language, in Fluent's file format.
//!
//! English, German and Arabic are built in (`locales/`, a file for the users' pages and one for the
//! console). A folder of further files adds
//! languages and overrides texts, so a team changes what people read without changing code. All
//! files are read and checked once, at the start.
//!
//! Never: HTML from a catalogue. A message is text; [`Message::html`] escapes it and every value in
//! it. A value is isolated from the text around it, so that a name in another script cannot reorder
//! the sentence.

mod catalogue;
mod check;
mod message;

pub use catalogue::{Catalogue, CatalogueError, Messages};
pub use message::{Message, ToValue, Value};

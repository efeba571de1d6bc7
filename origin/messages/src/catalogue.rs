//! Reads the catalogue's files and chooses a language for a reader.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use fluent_bundle::FluentResource;
use fluent_bundle::concurrent::FluentBundle;
use fluent_langneg::{NegotiationStrategy, negotiate_languages};
use unic_langid::{CharacterDirection, LanguageIdentifier};

use crate::check::{self, Variables};

/// English comes first: it defines which messages exist, and every language falls back to it.
const BUILT_IN: [(&str, &str); 3] = [
    ("en", concat!(include_str!("../locales/en.ftl"), include_str!("../locales/en.console.ftl"))),
    ("de", concat!(include_str!("../locales/de.ftl"), include_str!("../locales/de.console.ftl"))),
    ("ar", concat!(include_str!("../locales/ar.ftl"), include_str!("../locales/ar.console.ftl"))),
];
const ENGLISH: usize = 0;

/// Far above any real file: the built-in ones have about 10 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Language preferences of a reader that are considered; browsers send fewer than ten.
const MAX_PREFERENCES: usize = 20;

/// The messages of all languages.
pub struct Catalogue {
    languages: Vec<Language>,
    /// The messages that exist, with their values: those of English.
    known: Variables,
}

struct Language {
    tag: LanguageIdentifier,
    /// The tag in its canonical form, such as `pt-BR`.
    name: String,
    bundle: FluentBundle<FluentResource>,
    terms: BTreeSet<String>,
}

/// The messages in one language, for a page or a mail.
#[derive(Clone)]
pub struct Messages {
    catalogue: Arc<Catalogue>,
    /// Languages that are searched for a message, the reader's own first, English last.
    languages: Vec<usize>,
}

/// A catalogue file that cannot be used. Displayed as one line: file, line, problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueError {
    /// The file or folder.
    pub file: PathBuf,
    /// The line in the file, where one line is at fault.
    pub line: Option<usize>,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.problem),
            None => write!(f, "{}: {}", self.file.display(), self.problem),
        }
    }
}

impl std::error::Error for CatalogueError {}

impl Catalogue {
    /// Loads the built-in languages and, if there is a folder, its `<language tag>.ftl` files: one
    /// of a built-in language overrides messages, one of another language adds it.
    ///
    /// # Errors
    /// The first file that cannot be read, parsed, or does not fit the English messages.
    pub fn load(folder: Option<&Path>) -> Result<Catalogue, CatalogueError> {
        let built_in = BUILT_IN.iter().map(|(tag, text)| File {
            path: PathBuf::from(format!("{tag}.ftl")),
            tag: (*tag).to_owned(),
            text: (*text).to_owned(),
        });
        let mut files: Vec<File> = built_in.collect();
        if let Some(folder) = folder {
            files.extend(read_folder(folder)?);
        }
        let mut catalogue = Catalogue { languages: Vec::new(), known: Variables::new() };
        for file in files {
            let tag = file.tag.parse::<LanguageIdentifier>();
            let tag = tag.map_err(|_| file.error(None, "the file name must be a language tag, such as pt-BR.ftl"))?;
            let resource = file.parse()?;
            if catalogue.known.is_empty() {
                catalogue.known = check::variables(&resource);
            }
            let index = catalogue.find_or_add(tag);
            let language = &mut catalogue.languages[index];
            check::check(&resource, &catalogue.known, &mut language.terms)
                .map_err(|fault| file.error(Some(fault.line), &fault.problem))?;
            language.bundle.add_resource_overriding(resource);
        }
        Ok(catalogue)
    }

    fn find_or_add(&mut self, tag: LanguageIdentifier) -> usize {
        self.position(&tag).unwrap_or_else(|| {
            self.languages.push(Language::new(tag));
            self.languages.len() - 1
        })
    }

    /// The names of all messages.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// The tags of all languages, English first.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|language| language.name.as_str())
    }

    /// The messages for a reader: in the first available language of `ui_locales` (OpenID Connect
    /// Core §3.1.2.1: tags separated by spaces, by preference), else of `accept_language` (RFC 9110
    /// §12.5.4), else in English.
    #[must_use]
    pub fn messages(self: &Arc<Catalogue>, ui_locales: &str, accept_language: &str) -> Messages {
        let tags = ui_locales.split_ascii_whitespace().map(str::to_owned).chain(accepted(accept_language));
        let requested: Vec<LanguageIdentifier> =
            tags.take(MAX_PREFERENCES).filter_map(|tag| tag.parse().ok()).collect();
        let available: Vec<&LanguageIdentifier> = self.languages.iter().map(|language| &language.tag).collect();
        let found = negotiate_languages(&requested, &available, None, NegotiationStrategy::Lookup);
        let chosen = found.first().and_then(|tag| self.position(tag)).unwrap_or(ENGLISH);
        Messages { catalogue: Arc::clone(self), languages: self.fallbacks(chosen) }
    }

    /// The language, then its parents that have a catalogue (`de-AT`, `de`), then English.
    fn fallbacks(&self, language: usize) -> Vec<usize> {
        let mut tag = self.languages[language].tag.clone();
        let mut chain = vec![language];
        tag.clear_variants();
        chain.extend(self.position(&tag));
        tag.region = None;
        chain.extend(self.position(&tag));
        tag.script = None;
        chain.extend(self.position(&tag));
        chain.push(ENGLISH);
        chain.dedup();
        chain
    }

    fn position(&self, tag: &LanguageIdentifier) -> Option<usize> {
        self.languages.iter().position(|language| language.tag == *tag)
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.languages()).finish()
    }
}

impl Language {
    fn new(tag: LanguageIdentifier) -> Language {
        let mut bundle = FluentBundle::new_concurrent(vec![tag.clone()]);
        // Messages isolate names themselves, by marks or elements, as the place needs.
        bundle.set_use_isolating(false);
        Language { name: tag.to_string(), tag, bundle, terms: BTreeSet::new() }
    }
}

impl Messages {
    /// The language's tag, for the attribute `lang`.
    #[must_use]
    pub fn language(&self) -> &str {
        &self.chosen().name
    }

    /// The direction of its script, `ltr` or `rtl`, for the attribute `dir`.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        match self.chosen().tag.character_direction() {
            CharacterDirection::RTL => "rtl",
            CharacterDirection::LTR | CharacterDirection::TTB => "ltr",
        }
    }

    fn chosen(&self) -> &Language {
        &self.catalogue.languages[self.languages.first().copied().unwrap_or(ENGLISH)]
    }

    /// The bundles in which a message is searched.
    pub(crate) fn bundles(&self) -> impl Iterator<Item = &FluentBundle<FluentResource>> {
        self.languages.iter().map(|index| &self.catalogue.languages[*index].bundle)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.language()).finish()
    }
}

/// The tags of an `Accept-Language` field, the most preferred first. Tags with a weight of 0 are
/// left out.
fn accepted(field: &str) -> impl Iterator<Item = String> {
    let mut ranges: Vec<(u16, String)> = field.split(',').take(MAX_PREFERENCES).filter_map(weighted).collect();
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().map(|(_, tag)| tag)
}

/// A language range with its weight in thousandths.
fn weighted(range: &str) -> Option<(u16, String)> {
    let mut parts = range.split(';').map(str::trim);
    let tag = parts.next().filter(|tag| !tag.is_empty())?;
    let weight = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        Some(weight) => weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    let thousandths = (weight * 1000.0).round() as u16;
    (thousandths > 0).then(|| (thousandths, tag.to_owned()))
}

/// A file of the catalogue.
struct File {
    path: PathBuf,
    tag: String,
    text: String,
}

impl File {
    fn read(path: PathBuf) -> Result<File, CatalogueError> {
        let unreadable = |error: &dyn fmt::Display| CatalogueError {
            file: path.clone(),
            line: None,
            problem: format!("cannot be read: {error}"),
        };
        let length = fs::metadata(&path).map_err(|error| unreadable(&error))?.len();
        if length > MAX_FILE_BYTES {
            return Err(unreadable(&format_args!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
        let tag = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        Ok(File { path, tag, text })
    }

    fn parse(&self) -> Result<FluentResource, CatalogueError> {
        FluentResource::try_new(self.text.clone()).map_err(|(resource, errors)| match errors.first() {
            Some(error) => {
                self.error(Some(check::line_at(resource.source(), error.pos.start)), &error.kind.to_string())
            }
            None => self.error(None, "is not in Fluent's format"),
        })
    }

    fn error(&self, line: Option<usize>, problem: &str) -> CatalogueError {
        CatalogueError { file: self.path.clone(), line, problem: problem.to_owned() }
    }
}

/// The `.ftl` files of a folder, by name.
fn read_folder(folder: &Path) -> Result<Vec<File>, CatalogueError> {
    let error = |problem: String| CatalogueError { file: folder.to_owned(), line: None, problem };
    let unreadable = |failure: io::Error| error(format!("cannot be read: {failure}"));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "ftl") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(error("contains no .ftl file: add one that is named by its language, such as fr.ftl".to_owned()));
    }
    paths.sort();
    paths.into_iter().map(File::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Arc<Catalogue> {
        Arc::new(Catalogue::load(None).expect("the built-in files are good"))
    }

    fn with_files(files: &[(&str, &str)]) -> Result<Arc<Catalogue>, CatalogueError> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        Catalogue::load(Some(folder.path())).map(Arc::new)
    }

    #[test]
    fn every_built_in_language_has_every_message_with_the_same_variables() {
        let variables = |text: &str| check::variables(&FluentResource::try_new(text.to_owned()).expect("it parses"));
        let english = variables(BUILT_IN[ENGLISH].1);
        assert!(english.len() > 100, "{}", english.len());
        for (tag, text) in BUILT_IN {
            let own = variables(text);
            for (id, names) in &english {
                assert_eq!(own.get(id), Some(names), "{tag}: {id}");
            }
            assert_eq!(own.len(), english.len(), "{tag} has messages that English has not");
        }
    }

    #[test]
    fn every_message_can_be_formatted_in_every_language() {
        let catalogue = built_in();
        for (id, values) in &catalogue.known {
            for language in catalogue.languages() {
                let messages = catalogue.messages(language, "");
                let message = values.iter().fold(messages.text(id), |message, name| message.with(name, 3_u64));
                let text = message.to_string();
                assert!(!text.is_empty() && !text.contains(['{', '}', '$']), "{language}: {id}: {text}");
            }
        }
    }

    #[test]
    fn ui_locales_come_before_accept_language_and_english_is_the_last_resort() {
        let catalogue = built_in();
        for (ui_locales, accept_language, language) in [
            ("", "", "en"),
            ("", "de", "de"),
            ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
            ("", "fr, en;q=0.7, ar;q=0.8", "ar"),
            ("", "fr", "en"),
            ("", "*", "en"),
            ("", "de;q=0, ar", "ar"),
            ("", "de;q=none, ar;q=0.1", "ar"),
            ("", "ar-EG", "ar"),
            ("", "en-US,en;q=0.9,de;q=0.8", "en"),
            ("", "\u{1f600}, ,;;, x-none, de;q=0.5", "de"),
            ("de", "ar", "de"),
            ("fr-CA ar", "de", "ar"),
            ("tlh x-none", "de", "de"),
            ("../../etc/passwd", "", "en"),
        ] {
            let messages = catalogue.messages(ui_locales, accept_language);
            assert_eq!(messages.language(), language, "{ui_locales:?} {accept_language:?}");
        }
        assert_eq!(catalogue.messages("ar", "").direction(), "rtl");
        assert_eq!(catalogue.messages("de", "").direction(), "ltr");
    }

    #[test]
    fn files_add_languages_and_override_messages() {
        let french =
            "sign-in = Se connecter\n-app = Tollgate\nlogin-continue-to = Continuer vers { $client } avec { -app }\n";
        let files = [("fr.ftl", french), ("de.ftl", "sign-in = Einloggen\n"), ("de-AT.ftl", "password = Kennwort\n")];
        let catalogue = with_files(&files).expect("good files");
        assert_eq!(catalogue.languages().collect::<Vec<_>>(), ["en", "de", "ar", "de-AT", "fr"]);
        let text = |language: &str, id: &str| catalogue.messages(language, "").text(id).to_string();
        assert_eq!(text("fr", "sign-in"), "Se connecter");
        assert_eq!(text("fr", "sign-out"), "Sign out", "a missing message is English");
        assert_eq!(text("de", "sign-in"), "Einloggen");
        assert_eq!(text("de-AT", "password"), "Kennwort");
        assert_eq!(text("de-AT", "sign-in"), "Einloggen", "a region falls back to its language");
        assert_eq!(text("de-CH", "password"), "Passwort");
        let french = catalogue.messages("fr", "");
        assert_eq!(
            french.text("login-continue-to").with("client", "Notes").html().0,
            "Continuer vers <bdi>Notes</bdi> avec Tollgate"
        );
    }

    #[test]
    fn bad_files_are_refused_with_file_and_line() {
        for (name, text, problem) in [
            ("fr.ftl", "sign-in = Se connecter\nbroken\n", "fr.ftl:2: "),
            (
                "fr.ftl",
                "sign-in = Se connecter\n\nno-such-message = x\n",
                "fr.ftl:3: no page has a message no-such-message",
            ),
            ("fr.ftl", "sign-in = { $client }\n", "fr.ftl:1: sign-in has no value $client"),
            ("fr.ftl", "sign-in = { -app }\n", "fr.ftl:1: sign-in uses the term -app, which is not defined"),
            ("fr.ftl", "sign-in = { sign-out }\n", "fr.ftl:1: sign-in"),
            ("fr.ftl", "sign-in = { NUMBER(1) }\n", "fr.ftl:1: sign-in"),
            ("fr.ftl", "sign-in = a\n    .title = b\n", "fr.ftl:1: sign-in"),
            ("fr.ftl", "sign-in = a\nsign-in = b\n", "fr.ftl:2: sign-in is there twice"),
            ("no_tag_!.ftl", "sign-in = a\n", "no_tag_!.ftl: the file name must be a language tag"),
            ("notes.txt", "", "contains no .ftl file"),
        ] {
            let error = with_files(&[(name, text)]).expect_err(problem).to_string();
            assert!(error.contains(problem) && !error.contains('\n'), "{error:?} does not contain {problem:?}");
        }
        let missing = Catalogue::load(Some(Path::new("/no/such/folder"))).expect_err("no folder").to_string();
        assert!(missing.starts_with("/no/such/folder: cannot be read"), "{missing}");
    }
}

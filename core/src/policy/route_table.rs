//! Finds the rule for a request. Rules are sorted by precedence once, so the first that matches
//! applies.

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::pattern::PathPattern;
use super::rule::Route;
use super::{AmbiguousRequest, host};

/// The rules in the order of precedence, as HTTP and as lenient servers read them.
#[derive(Debug, Clone)]
pub(super) struct RouteTable {
    entries: Vec<Entry>,
    /// The entries with their paths as [`lenient_path`] reads them; `None` if these are the same.
    lenient_entries: Option<Vec<Entry>>,
    has_hosts: bool,
    has_methods: bool,
    /// Whether a rule's method has lower-case letters.
    has_lower_case_methods: bool,
}

/// A rule with one of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// `None` for all hosts.
    host: Option<String>,
    path: PathPattern,
    methods: MethodRank,
    /// Index of the rule in the document.
    index: usize,
}

/// Precedence by method: HEAD is a rule's own method before it is GET's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MethodRank {
    NamesHead,
    NamesOthers,
    All,
}

impl Ord for Entry {
    /// The order of precedence: by host, then by path, then by method. Of equal rules, which the
    /// origin refuses to make, the last applies.
    fn cmp(&self, other: &Self) -> Ordering {
        host::rank(self.host.as_deref())
            .cmp(&host::rank(other.host.as_deref()))
            .then_with(|| self.path.precedence(&other.path))
            .then_with(|| self.methods.cmp(&other.methods))
            .then_with(|| other.index.cmp(&self.index))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether methods are compared with or without case.
#[derive(Clone, Copy)]
enum MethodCase {
    Sensitive,
    Ignored,
}

/// The host of a request, as far as a rule may depend on it.
#[derive(Clone, Copy)]
enum Host<'a> {
    /// Its name.
    Name(&'a str),
    /// The request has none that can be used: only rules for all hosts match.
    Missing,
    /// Every host of a rule matches.
    Any,
}

impl RouteTable {
    pub(super) fn new(routes: &[Route]) -> Self {
        let entries = sorted(routes, |path| path.into());
        let lenient_entries = Some(sorted(routes, lenient_path)).filter(|lenient| *lenient != entries);
        let has_lower_case = |method: &String| method.bytes().any(|byte| byte.is_ascii_lowercase());
        Self {
            entries,
            lenient_entries,
            has_hosts: routes.iter().any(|route| !route.hosts.is_empty()),
            has_methods: routes.iter().any(|route| !route.methods.is_empty()),
            has_lower_case_methods: routes.iter().flat_map(|route| &route.methods).any(has_lower_case),
        }
    }

    pub(super) fn has_hosts(&self) -> bool {
        self.has_hosts
    }

    pub(super) fn has_methods(&self) -> bool {
        self.has_methods
    }

    /// Index of the rule for a request. `authority` is its `Host`, if it has exactly one.
    pub(super) fn find(
        &self,
        routes: &[Route],
        authority: Option<&str>,
        method: &str,
        path: &str,
    ) -> Result<Option<usize>, AmbiguousRequest> {
        let host = match self.has_hosts {
            true => authority.and_then(host::host_name).map_or(Host::Missing, Host::Name),
            false => Host::Missing,
        };
        let lenient_entries = self.lenient_entries.as_ref().unwrap_or(&self.entries);
        let own_lenient_path = if is_lenient(path) { None } else { Some(lenient_path(path)) };
        let lenient_path = own_lenient_path.as_deref().unwrap_or(path);
        let read_alike = self.lenient_entries.is_none() && own_lenient_path.is_none();

        let first = |host, case| first_match(&self.entries, routes, host, method, path, case);
        let first_lenient = |host, case| first_match(lenient_entries, routes, host, method, lenient_path, case);
        let found = first(host, MethodCase::Sensitive);
        if !read_alike && found != first_lenient(host, MethodCase::Sensitive) {
            return Err(AmbiguousRequest::Path);
        }
        // Some frameworks convert the method to upper case, and so run another one than was sent.
        let has_lower_case = self.has_lower_case_methods || method.bytes().any(|byte| byte.is_ascii_lowercase());
        if self.has_methods
            && has_lower_case
            && (found != first(host, MethodCase::Ignored) || found != first_lenient(host, MethodCase::Ignored))
        {
            return Err(AmbiguousRequest::Method);
        }
        // Servers choose a host by rules of their own for a request that names none.
        if self.has_hosts
            && matches!(host, Host::Missing)
            && (found != first(Host::Any, MethodCase::Ignored)
                || found != first_lenient(Host::Any, MethodCase::Ignored))
        {
            return Err(AmbiguousRequest::Host);
        }
        Ok(found)
    }
}

/// Whether a rule's host, path and method match a request, each for itself.
#[cfg(feature = "build")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleMatch {
    /// Index of the rule in the document.
    pub index: usize,
    /// Whether the host matches.
    pub host: bool,
    /// Whether the path matches.
    pub path: bool,
    /// Whether the method matches.
    pub method: bool,
}

#[cfg(feature = "build")]
impl RouteTable {
    /// The rules in the order of precedence, one entry for each of their hosts.
    pub(super) fn matches(
        &self,
        routes: &[Route],
        authority: Option<&str>,
        method: &str,
        path: &str,
    ) -> impl Iterator<Item = RuleMatch> {
        let host = authority.and_then(host::host_name).map_or(Host::Missing, Host::Name);
        self.entries.iter().filter_map(move |entry| {
            let route = routes.get(entry.index)?;
            Some(RuleMatch {
                index: entry.index,
                host: matches_host(entry.host.as_deref(), host),
                path: entry.path.matches(path),
                method: matches_method(route, method, MethodCase::Sensitive),
            })
        })
    }
}

/// Index of the first rule that matches. Not inlined, to keep components small.
#[inline(never)]
fn first_match(
    entries: &[Entry],
    routes: &[Route],
    host: Host<'_>,
    method: &str,
    path: &str,
    case: MethodCase,
) -> Option<usize> {
    let is_match = |entry: &&Entry| {
        matches_host(entry.host.as_deref(), host)
            && entry.path.matches(path)
            && routes.get(entry.index).is_some_and(|route| matches_method(route, method, case))
    };
    entries.iter().find(is_match).map(|entry| entry.index)
}

fn matches_host(pattern: Option<&str>, host: Host<'_>) -> bool {
    match (pattern, host) {
        (None, _) | (_, Host::Any) => true,
        (Some(pattern), Host::Name(name)) => host::matches(pattern, name),
        (Some(_), Host::Missing) => false,
    }
}

/// A rule for GET matches HEAD, too, because servers answer HEAD by running GET. Methods are
/// case-sensitive (RFC 9110 section 9.1).
fn matches_method(route: &Route, method: &str, case: MethodCase) -> bool {
    if route.methods.is_empty() {
        return true;
    }
    let is_equal: fn(&str, &str) -> bool = match case {
        MethodCase::Sensitive => |one, other| one == other,
        MethodCase::Ignored => str::eq_ignore_ascii_case,
    };
    let names = |method: &str| route.methods.iter().any(|wanted| is_equal(wanted, method));
    names(method) || (is_equal(method, "HEAD") && names("GET"))
}

/// The rules in the order of precedence. Sorted by a heap, which takes a fraction of the component
/// that the library's sorts take.
fn sorted(routes: &[Route], read_path: fn(&str) -> String) -> Vec<Entry> {
    let mut entries = BinaryHeap::with_capacity(routes.len());
    for (index, route) in routes.iter().enumerate() {
        let path = PathPattern::new(&read_path(&route.path), route.is_public);
        let methods = match &route.methods[..] {
            [] => MethodRank::All,
            methods if methods.iter().any(|method| method.eq_ignore_ascii_case("HEAD")) => MethodRank::NamesHead,
            _ => MethodRank::NamesOthers,
        };
        if route.hosts.is_empty() {
            entries.push(Entry { host: None, path, methods, index });
            continue;
        }
        for host in &route.hosts {
            entries.push(Entry { host: Some(host.clone()), path: path.clone(), methods, index });
        }
    }
    entries.into_sorted_vec()
}

/// Whether [`lenient_path`] returns the path as it is.
fn is_lenient(path: &str) -> bool {
    let mut before = b'/';
    let is_unchanged = path.bytes().all(|byte| {
        let is_ignored = before == b'.' && byte == b'/';
        before = byte;
        !is_ignored && byte.is_ascii_graphic() && !byte.is_ascii_uppercase()
    });
    is_unchanged && before != b'.'
}

/// The path as the most lenient server reads it: without case, without spaces around a segment and
/// dots at its end (as Windows does), and with letters that case mapping or Unicode's compatibility
/// normalization (NFKC) turn into ASCII letters replaced by these.
pub(super) fn lenient_path(path: &str) -> String {
    let mut lenient = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            lenient.push('/');
        }
        let is_ignored = |letter: char| letter == '.' || letter.is_whitespace();
        lenient.extend(segment.trim_start().trim_end_matches(is_ignored).chars().map(lenient_letter));
    }
    lenient
}

fn lenient_letter(letter: char) -> char {
    let ascii = match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        '\u{130}' | '\u{131}' => 'i',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        other => other,
    };
    ascii.to_ascii_lowercase()
}

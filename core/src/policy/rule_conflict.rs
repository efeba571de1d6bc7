//! Which rules must not be added to others: those that can never apply, and those of the same
//! precedence as another. The origin asks before it adds a rule.

use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;

use super::pattern::{self, PathPattern};
use super::route_table::lenient_path;
use super::rule::Route;

/// Why a rule must not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleConflict {
    /// It applies to requests to which the rule of this index applies with the same precedence.
    SameRequests(usize),
    /// To some servers it has the path of the rule of this index, so that every request to which
    /// one of both applies would be ambiguous.
    ReadAlike(usize),
    /// Its path is the gate's own.
    GatePath,
    /// A segment of its path has braces, but is no parameter.
    MalformedParameter,
    /// Two parameters of its path have the same name.
    RepeatedParameter,
}

impl fmt::Display for RuleConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameRequests(_) => "applies to the same requests",
            Self::ReadAlike(_) => {
                "has a path that differs only in capital letters, or in spaces or dots at the end of a segment, so that \
                 edges would refuse the requests of both"
            }
            Self::GatePath => "the rule can never apply: paths below /_tollgate are the edge's own",
            Self::MalformedParameter => {
                "a parameter must be a whole segment: a name of letters, digits and underscores in braces, as in \
                 /orders/{id}"
            }
            Self::RepeatedParameter => "two parameters of the path have the same name",
        })
    }
}

/// Checks whether a rule may be added to those that exist.
///
/// Rules have a total order of precedence by host, path and method. So no rule hides another
/// wholly: the more specific one has fewer requests. Two rules are in conflict where that order
/// does not decide, which is where host, path and method are the same.
///
/// # Errors
/// The first conflict.
pub fn check_new_rule(new: &Route, others: &[Route]) -> Result<(), RuleConflict> {
    check_path(new.path())?;
    let is_equal: fn(&str, &str) -> bool = |one, other| one == other;
    let exactly: fn(&str) -> String = |path| path.into();
    for (index, other) in others.iter().enumerate().filter(|(_, other)| share_host(new, other)) {
        if share_path(new, other, exactly) && share_method(new, other, is_equal) {
            return Err(RuleConflict::SameRequests(index));
        }
        if share_path(new, other, lenient_path) && share_method(new, other, str::eq_ignore_ascii_case) {
            return Err(RuleConflict::ReadAlike(index));
        }
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), RuleConflict> {
    let segments = || path.split('/').skip(1);
    if segments().next() == Some("_tollgate") {
        return Err(RuleConflict::GatePath);
    }
    for (index, segment) in segments().enumerate().filter(|(_, segment)| segment.contains(['{', '}'])) {
        if !pattern::is_parameter(segment) {
            return Err(RuleConflict::MalformedParameter);
        }
        if segments().take(index).any(|before| before == segment) {
            return Err(RuleConflict::RepeatedParameter);
        }
    }
    Ok(())
}

/// Whether both rules apply to a host with the same precedence.
fn share_host(one: &Route, other: &Route) -> bool {
    match (one.hosts(), other.hosts()) {
        ([], []) => true,
        (hosts, others) => hosts.iter().any(|host| others.contains(host)),
    }
}

/// Whether both rules have the same path, as `read` reads it.
fn share_path(one: &Route, other: &Route, read: fn(&str) -> String) -> bool {
    let pattern = |rule: &Route| PathPattern::new(&read(rule.path()), rule.is_public());
    pattern(one).precedence(&pattern(other)) == Ordering::Equal
}

/// Whether both rules apply to a method with the same precedence.
fn share_method(one: &Route, other: &Route, is_equal: fn(&str, &str) -> bool) -> bool {
    match (one.methods(), other.methods()) {
        ([], []) => true,
        (methods, others) => methods.iter().any(|method| others.iter().any(|other| is_equal(method, other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(members: &str) -> Route {
        Route::read(alloc::format!("{{{members}}}").as_bytes()).expect(members)
    }

    #[test]
    fn rules_of_equal_precedence_are_in_conflict() {
        let existing = [
            rule(r#""path":"/a/{id}","methods":["GET","PUT"]"#),
            rule(r#""path":"/b/*","hosts":["a.example","*.b.example"]"#),
            rule(r#""path":"/Case""#),
        ];
        for (members, conflict) in [
            (r#""path":"/a/{key}","methods":["PUT"]"#, Err(RuleConflict::SameRequests(0))),
            (r#""path":"/a/{id}","methods":["HEAD"]"#, Ok(())),
            (r#""path":"/a/{id}""#, Ok(())),
            (r#""path":"/a/{id}/","methods":["GET"]"#, Ok(())),
            (r#""path":"/a/{id}/*","methods":["GET"]"#, Ok(())),
            (r#""path":"/a/{id}","methods":["GET"],"hosts":["a.example"]"#, Ok(())),
            (r#""path":"/b/*","hosts":["c.example","*.b.example"]"#, Err(RuleConflict::SameRequests(1))),
            (r#""path":"/b/*""#, Ok(())),
            (r#""path":"/b/*","hosts":["*.example"]"#, Ok(())),
            (r#""path":"/case""#, Err(RuleConflict::ReadAlike(2))),
            (r#""path":"/A/{id}","methods":["get"]"#, Err(RuleConflict::ReadAlike(0))),
            (r#""path":"/case","methods":["GET"]"#, Ok(())),
        ] {
            assert_eq!(check_new_rule(&rule(members), &existing), conflict, "{members}");
        }
    }

    #[test]
    fn rules_that_can_never_apply_are_refused() {
        for (path, conflict) in [
            ("/_tollgate", Err(RuleConflict::GatePath)),
            ("/_tollgate/*", Err(RuleConflict::GatePath)),
            ("/a/_tollgate", Ok(())),
            ("/a/{id", Err(RuleConflict::MalformedParameter)),
            ("/a/{}", Err(RuleConflict::MalformedParameter)),
            ("/a/x{id}", Err(RuleConflict::MalformedParameter)),
            ("/a/{a b}", Err(RuleConflict::MalformedParameter)),
            ("/{id}/{id}", Err(RuleConflict::RepeatedParameter)),
            ("/{id}/{other}", Ok(())),
        ] {
            assert_eq!(check_new_rule(&rule(&alloc::format!(r#""path":"{path}""#)), &[]), conflict, "{path}");
        }
    }
}

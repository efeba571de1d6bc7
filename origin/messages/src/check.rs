//! Checks a file of the catalogue against the English messages, so that formatting a message cannot
//! fail later.

use std::collections::{BTreeMap, BTreeSet};

use fluent_bundle::FluentResource;
use fluent_syntax::ast;

/// The values that each message has, by its name.
pub(crate) type Variables = BTreeMap<String, BTreeSet<String>>;

/// What is wrong with a file, and where.
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// The messages of a file and the values that they use.
pub(crate) fn variables(resource: &FluentResource) -> Variables {
    let uses = messages(resource).map(|message| (message, Uses::of(message)));
    let owned = |names: BTreeSet<&str>| -> BTreeSet<String> { names.into_iter().map(str::to_owned).collect() };
    uses.map(|(message, uses)| (message.id.name.to_owned(), owned(uses.variables))).collect()
}

/// Checks that each message of the file exists in English, has no other values than there, and uses
/// only what is supported. `terms`: those of the language so far, to which the file adds its own.
pub(crate) fn check(resource: &FluentResource, known: &Variables, terms: &mut BTreeSet<String>) -> Result<(), Fault> {
    let mut names = BTreeSet::new();
    for entry in resource.entries() {
        let (id, prefix) = match entry {
            ast::Entry::Message(message) => (message.id.name, ""),
            ast::Entry::Term(term) => (term.id.name, "-"),
            _ => continue,
        };
        if !names.insert((prefix, id)) {
            return Err(fault(resource, id, format!("{prefix}{id} is there twice: remove one")));
        }
        if prefix == "-" {
            terms.insert(id.to_owned());
        }
    }
    for message in messages(resource) {
        let id = message.id.name;
        let refused = |problem: String| Err(fault(resource, id, problem));
        let Some(variables) = known.get(id) else {
            return refused(format!("no page has a message {id}: see the built-in en.ftl for the names"));
        };
        if message.value.is_none() || !message.attributes.is_empty() {
            return refused(format!("{id} must be a text without attributes"));
        }
        let uses = Uses::of(message);
        if let Some(problem) = uses.unsupported {
            return refused(format!("{id}: {problem}"));
        }
        if let Some(name) = uses.variables.iter().find(|name| !variables.contains(**name)) {
            return refused(format!("{id} has no value ${name}: see the built-in en.ftl for its values"));
        }
        if let Some(name) = uses.terms.iter().find(|name| !terms.contains(**name)) {
            return refused(format!("{id} uses the term -{name}, which is not defined in this language"));
        }
    }
    Ok(())
}

fn messages(resource: &FluentResource) -> impl Iterator<Item = &ast::Message<&str>> {
    resource.entries().filter_map(|entry| match entry {
        ast::Entry::Message(message) => Some(message),
        _ => None,
    })
}

fn fault(resource: &FluentResource, id: &str, problem: String) -> Fault {
    // The parser's names are parts of the source.
    let offset = id.as_ptr().addr().saturating_sub(resource.source().as_ptr().addr());
    Fault { line: line_at(resource.source(), offset), problem }
}

/// The line of a byte, counted from 1.
pub(crate) fn line_at(source: &str, offset: usize) -> usize {
    source.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// What a message refers to.
#[derive(Default)]
struct Uses<'s> {
    variables: BTreeSet<&'s str>,
    terms: BTreeSet<&'s str>,
    unsupported: Option<&'static str>,
}

impl<'s> Uses<'s> {
    fn of(message: &ast::Message<&'s str>) -> Uses<'s> {
        let mut uses = Uses::default();
        if let Some(pattern) = &message.value {
            uses.add_pattern(pattern);
        }
        uses
    }

    fn add_pattern(&mut self, pattern: &ast::Pattern<&'s str>) {
        for element in &pattern.elements {
            if let ast::PatternElement::Placeable { expression } = element {
                self.add_expression(expression);
            }
        }
    }

    fn add_expression(&mut self, expression: &ast::Expression<&'s str>) {
        match expression {
            ast::Expression::Inline(inline) => self.add_inline(inline),
            ast::Expression::Select { selector, variants } => {
                self.add_inline(selector);
                for variant in variants {
                    self.add_pattern(&variant.value);
                }
            }
        }
    }

    fn add_inline(&mut self, inline: &ast::InlineExpression<&'s str>) {
        match inline {
            ast::InlineExpression::StringLiteral { .. } | ast::InlineExpression::NumberLiteral { .. } => {}
            ast::InlineExpression::VariableReference { id } => {
                self.variables.insert(id.name);
            }
            ast::InlineExpression::TermReference { id, .. } => {
                self.terms.insert(id.name);
            }
            ast::InlineExpression::Placeable { expression } => self.add_expression(expression),
            ast::InlineExpression::MessageReference { .. } => {
                self.unsupported = Some("a message cannot include another message: define a term, such as -company");
            }
            ast::InlineExpression::FunctionReference { .. } => {
                self.unsupported = Some("functions are not supported");
            }
        }
    }
}

//! A table of requirements over HTTP: each row has the section it is from, the requirement in words, the requests, and what the
//! last answer must be. Rows are data; this module sends and judges them. It holds no requirement itself.

mod answer;
mod expectation;
mod fixture;
mod jws;
mod request;

use futures::{StreamExt as _, stream};

pub use self::answer::Answer;
pub use self::expectation::{Expectation, challenged, error, ok, page, redirected, refused, status};
pub use self::fixture::{AUDIENCE, Fixture};
pub use self::jws::{Jws, assertion, proof, request_object, thumbprint};
pub use self::request::{RequestSpec, Sender, get, post};

/// Rows at work at once: the origin is asked as by several clients, and the machine stays usable.
const AT_ONCE: usize = 4;

/// One requirement.
pub struct Requirement {
    /// The specification, e.g. `RFC 6749`; set by [`table`].
    pub document: &'static str,
    /// The section, e.g. `4.1.3`.
    pub section: &'static str,
    /// The requirement in words.
    pub words: &'static str,
    /// The requests in order; the last one's answer is judged. A later one may name what an earlier one was answered.
    pub asks: Vec<RequestSpec>,
    /// What the answer must be.
    pub expected: Expectation,
}

/// A row of a table.
pub fn row(
    section: &'static str,
    words: &'static str,
    asks: impl IntoIterator<Item = RequestSpec>,
    expected: Expectation,
) -> Requirement {
    Requirement { document: "", section, words, asks: asks.into_iter().collect(), expected }
}

/// Rows of one specification.
pub fn table(document: &'static str, rows: Vec<Requirement>) -> Vec<Requirement> {
    rows.into_iter().map(|must| Requirement { document, ..must }).collect()
}

/// Sends every row and gives back a line for each that does not hold, in the table's order.
pub async fn failures(world: &Fixture, musts: &[Requirement]) -> Vec<String> {
    let judged = musts.iter().map(|must| async move {
        let verdict = judge(world, must).await;
        verdict.err().map(|why| format!("{} §{}: {}\n      {why:#}", must.document, must.section, must.words))
    });
    stream::iter(judged).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn judge(world: &Fixture, must: &Requirement) -> anyhow::Result<()> {
    let mut run = world.run();
    for (index, ask) in must.asks.iter().enumerate() {
        run.send(ask).await?;
        // A refusal must be for the reason that the row is about, and not for a step before it that went wrong.
        let (step, refused) = (index + 1, run.last().0.status >= 400);
        let wrong = step < must.asks.len() && refused != ask.refused;
        anyhow::ensure!(!wrong, "step {step} was answered {}", run.last().summary());
    }
    must.expected.check(&run).await
}

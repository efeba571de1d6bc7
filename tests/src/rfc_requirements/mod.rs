//! Runs tables of RFC requirements over HTTP. A row has the section, the requirement in words, the
//! requests, and the expected last response. Rows are data; this module sends the requests and
//! checks the responses. It holds no requirement itself.

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

/// Rows run concurrently, as several clients would; more would make the machine too busy.
const MAX_CONCURRENT_ROWS: usize = 4;

/// One requirement.
pub struct Requirement {
    /// Specification, such as `RFC 6749`; set by [`table`].
    pub document: &'static str,
    /// Section, such as `4.1.3`.
    pub section: &'static str,
    /// The requirement in words.
    pub words: &'static str,
    /// Requests in order; the last response is checked. A request may refer to earlier responses.
    pub requests: Vec<RequestSpec>,
    /// Expected last response.
    pub expected: Expectation,
}

/// Builds a row of a table.
pub fn row(
    section: &'static str,
    words: &'static str,
    requests: impl IntoIterator<Item = RequestSpec>,
    expected: Expectation,
) -> Requirement {
    Requirement { document: "", section, words, requests: requests.into_iter().collect(), expected }
}

/// Sets the specification of the rows.
pub fn table(document: &'static str, rows: Vec<Requirement>) -> Vec<Requirement> {
    rows.into_iter().map(|requirement| Requirement { document, ..requirement }).collect()
}

/// Runs every row and returns one line for each that fails, in the order of the table.
pub async fn failures(fixture: &Fixture, requirements: &[Requirement]) -> Vec<String> {
    let results = requirements.iter().map(|requirement| async move {
        let verdict = check_requirement(fixture, requirement).await;
        verdict.err().map(|why| {
            format!("{} §{}: {}\n      {why:#}", requirement.document, requirement.section, requirement.words)
        })
    });
    stream::iter(results).buffered(MAX_CONCURRENT_ROWS).filter_map(std::future::ready).collect().await
}

async fn check_requirement(fixture: &Fixture, requirement: &Requirement) -> anyhow::Result<()> {
    let mut run = fixture.run();
    for (index, request) in requirement.requests.iter().enumerate() {
        run.send(request).await?;
        // An earlier step must not be refused, so that the last response is refused for the row's
        // own reason.
        let (step, refused) = (index + 1, run.last().0.status >= 400);
        let wrong = step < requirement.requests.len() && refused != request.refused;
        anyhow::ensure!(!wrong, "step {step} was answered {}", run.last().summary());
    }
    requirement.expected.check(&run).await
}

//! Answers of the origin about single tokens: about opaque ones, which are then decided from the
//! replica like signed ones, and about tokens whose status a stale replica does not know, where the
//! route's policy is to introspect them.
//!
//! Never: a question about a token that has not the form of the origin's tokens.

use std::cell::Cell;

use tollgate_core::{
    IntrospectedToken, Possession, Refusal, ReplicaView, StreamTicket, TokenReference, TokenRequirements,
    UnknownStatusPolicy, VerifiedToken,
};

use crate::gate::Gate;
use crate::replica_state::FetchError;
use crate::sync::Question;

/// Most answers in memory: some four megabytes of usual tokens.
const MAX_ANSWERS: usize = 4096;
/// How long an answer that a token is not active, or a question without an answer, is remembered.
const NEGATIVE_LIFETIME_MS: u64 = 1000;
/// Most questions of a gate in a second. The form of opaque tokens keeps garbage away, but it can
/// be imitated; requests beyond this get 503.
const MAX_QUESTIONS_PER_SECOND: u32 = 200;

/// The answers of the origin about single tokens.
#[derive(Debug, Default)]
pub(crate) struct Introspections {
    /// In the order of the references. A list adds less code to a component than a map.
    answers: Vec<(TokenReference, Answer)>,
    /// Unix second of the last question, and the number of questions in it.
    asked: Cell<(u64, u32)>,
}

/// An answer, and when its question was sent, in Unix milliseconds.
#[derive(Debug)]
struct Answer {
    as_of_ms: u64,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Active(Box<IntrospectedToken>),
    Inactive,
    /// The origin did not answer.
    Failed,
}

/// Why a token does not pass now.
pub(crate) enum Obstacle {
    /// It is refused.
    Refused(Refusal),
    /// The origin must be asked about it first.
    MustIntrospect(TokenReference),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Introspections {
    /// The answer about a token, unless it was negative and is too old by now.
    fn find(&self, reference: &TokenReference, now_ms: u64) -> Option<&Answer> {
        let (_, answer) = self.answers.get(self.position(reference).ok()?)?;
        (!answer.is_outdated(now_ms)).then_some(answer)
    }

    fn insert(&mut self, reference: TokenReference, answer: Answer) {
        if self.answers.len() >= MAX_ANSWERS && self.position(&reference).is_err() {
            self.make_room(answer.as_of_ms);
        }
        match self.position(&reference) {
            Ok(position) => {
                if let Some((_, known)) = self.answers.get_mut(position) {
                    *known = answer;
                }
            }
            Err(position) => self.answers.insert(position, (reference, answer)),
        }
    }

    /// Where the answer about a token is, or would be.
    fn position(&self, reference: &TokenReference) -> Result<usize, usize> {
        self.answers.binary_search_by(|(known, _)| known.cmp(reference))
    }

    /// Removes outdated answers, and if there are none the oldest one.
    fn make_room(&mut self, now_ms: u64) {
        self.answers.retain(|(_, answer)| !answer.is_outdated(now_ms));
        let ages = self.answers.iter().enumerate().map(|(position, (_, answer))| (answer.as_of_ms, position));
        if self.answers.len() >= MAX_ANSWERS
            && let Some((_, oldest)) = ages.min()
        {
            self.answers.remove(oldest);
        }
    }

    /// The question about a token, if there were not too many in this second.
    fn question(&self, reference: TokenReference, now_ms: u64) -> Obstacle {
        let (second, asked) = self.asked.get();
        let asked = if second == now_ms / 1000 { asked } else { 0 };
        if asked >= MAX_QUESTIONS_PER_SECOND {
            return Obstacle::Refused(Refusal::Stale);
        }
        self.asked.set((now_ms / 1000, asked + 1));
        Obstacle::MustIntrospect(reference)
    }
}

impl Answer {
    /// Whether the answer is of no use any more: negative and old, or about an expired token.
    fn is_outdated(&self, now_ms: u64) -> bool {
        match &self.outcome {
            Outcome::Active(token) => {
                let leeway_ms = 1000 * tollgate_core::MAX_LEEWAY_SECONDS;
                token.token().expires_at().saturating_mul(1000).saturating_add(leeway_ms) <= now_ms
            }
            Outcome::Inactive | Outcome::Failed => now_ms.abs_diff(self.as_of_ms) > NEGATIVE_LIFETIME_MS,
        }
    }
}

/// A token that is decided by the origin's answer, and what is required of it.
pub(crate) struct IntrospectionRequest<'a> {
    pub(crate) reference: TokenReference,
    pub(crate) requirements: TokenRequirements<'a>,
    pub(crate) view: ReplicaView<'a>,
    /// Age in milliseconds up to which an answer proves the token's status.
    pub(crate) max_staleness_ms: u64,
    pub(crate) now_ms: u64,
}

impl IntrospectionRequest<'_> {
    /// The same requirements for a token that was active a moment ago: then it is enough that the
    /// replica has no revocation.
    fn of_active(&self) -> TokenRequirements<'_> {
        let allow = UnknownStatusPolicy::Allow;
        TokenRequirements { on_stale: allow, on_not_covered: allow, ..self.requirements }
    }
}

impl Gate {
    /// Whether this edge may introspect tokens: the origin answers registered edges only.
    fn may_introspect(&self) -> bool {
        self.settings().edge.is_some()
    }

    /// The reference to an opaque token, if this edge may introspect it.
    pub(crate) fn opaque_reference(&self, token: &[u8]) -> Option<TokenReference> {
        self.may_introspect().then(|| TokenReference::of_opaque(token)).flatten()
    }

    /// The reference to a signed token whose status is unknown, if this edge may introspect it.
    pub(crate) fn signed_reference(&self, token_id: &str) -> Option<TokenReference> {
        self.may_introspect().then(|| TokenReference::of_id(token_id)).flatten()
    }

    /// Verifies an opaque token by the origin's answer about it: introspected once, it is decided
    /// from the replica until it expires. If the replica is stale, the answer proves the status for
    /// as long as a replica of its age would.
    pub(crate) fn verify_introspected<T>(
        &self,
        request: &IntrospectionRequest<'_>,
        possession: &Possession<'_>,
        use_token: impl FnOnce(&VerifiedToken) -> T,
    ) -> Result<T, Obstacle> {
        let now_ms = request.now_ms;
        let Some(answer) = self.introspections.find(&request.reference, now_ms) else {
            return Err(self.introspections.question(request.reference.clone(), now_ms));
        };
        let token = match &answer.outcome {
            Outcome::Active(token) => token,
            Outcome::Inactive => return Err(Refusal::Inactive.into()),
            Outcome::Failed => return Err(Refusal::Stale.into()),
        };
        let is_recent = self.is_recent(answer, request);
        let requirements = if is_recent { request.of_active() } else { request.requirements };
        match token.verify(&requirements, Some(possession), &request.view, now_ms / 1000) {
            Ok(token) => Ok(use_token(token)),
            Err(refusal) if is_introspected(&refusal, &requirements) => {
                Err(self.introspections.question(request.reference.clone(), now_ms))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// What the origin says of a signed token whose status was refused as unknown, on a route that
    /// introspects such tokens: the requirements by which the token is verified again.
    pub(crate) fn introspected_requirements<'a>(
        &self,
        request: &'a IntrospectionRequest<'_>,
    ) -> Result<TokenRequirements<'a>, Obstacle> {
        let answer = self.introspections.find(&request.reference, request.now_ms);
        let recent = answer.filter(|answer| self.is_recent(answer, request));
        match recent.map(|answer| &answer.outcome) {
            Some(Outcome::Active(_)) => Ok(request.of_active()),
            Some(Outcome::Inactive) => Err(Refusal::Inactive.into()),
            Some(Outcome::Failed) => Err(Refusal::Stale.into()),
            None => Err(self.introspections.question(request.reference.clone(), request.now_ms)),
        }
    }

    /// Whether the answer proves the token's status now. Before the replica was fresh once, the
    /// rules of its snapshot may have changed long ago, and nothing passes.
    fn is_recent(&self, answer: &Answer, request: &IntrospectionRequest<'_>) -> bool {
        let was_fresh_once = self.replica_age_ms(request.now_ms).is_some();
        was_fresh_once && request.now_ms.abs_diff(answer.as_of_ms) <= request.max_staleness_ms
    }

    /// The ticket of a stream that was opened with an opaque token.
    pub(crate) fn introspected_stream_ticket(&self, token: &[u8]) -> Option<StreamTicket> {
        let position = self.introspections.position(&TokenReference::of_opaque(token)?).ok()?;
        match &self.introspections.answers.get(position)?.1.outcome {
            Outcome::Active(token) => Some(token.stream_ticket(self.settings().leeway)),
            _ => None,
        }
    }

    /// Path and query of the GET by which the host asks the origin about a token, for
    /// [`Decision::Introspect`](crate::Decision::Introspect). `None` for an edge without a key.
    pub fn next_introspection(&self, reference: &TokenReference, question: &Question) -> Option<String> {
        let edge = self.settings().edge.as_ref()?;
        let (name, number, at_ms, nonce) = (&edge.name, edge.number, question.asked_at_ms, question.nonce);
        let query = format!("{reference}&nonce={nonce}&edge={name}&number={number}&at={at_ms}");
        Some(format!("/edge/v1/introspect?{}", edge.key.sign(query)))
    }

    /// Applies the origin's answer to [`next_introspection`](Self::next_introspection).
    ///
    /// # Errors
    /// Says why the answer was refused. It then counts as a failure.
    pub fn accept_introspection(
        &mut self,
        reference: &TokenReference,
        status: u16,
        body: &[u8],
        question: &Question,
    ) -> Result<(), FetchError> {
        let edge = self.settings().edge.as_ref();
        let answer = match (status, edge) {
            (200, Some(edge)) => edge.key.open_introspection(body, reference, question.nonce).map_err(FetchError::Wire),
            (status, _) => Err(FetchError::Status(status)),
        };
        let (outcome, result) = match answer {
            Ok(Some(token)) => (Outcome::Active(Box::new(token)), Ok(())),
            Ok(None) => (Outcome::Inactive, Ok(())),
            Err(error) => (Outcome::Failed, Err(error)),
        };
        self.introspections.insert(reference.clone(), Answer { as_of_ms: question.asked_at_ms, outcome });
        result
    }

    /// Records that the origin did not answer about a token.
    pub fn introspection_failed(&mut self, reference: &TokenReference, now_ms: u64) {
        self.introspections.insert(reference.clone(), Answer { as_of_ms: now_ms, outcome: Outcome::Failed });
    }
}

/// Whether the route introspects a token that is refused for this reason.
pub(crate) fn is_introspected(refusal: &Refusal, requirements: &TokenRequirements<'_>) -> bool {
    let policy = match refusal {
        Refusal::Stale => requirements.on_stale,
        Refusal::NotCovered => requirements.on_not_covered,
        _ => return false,
    };
    policy == UnknownStatusPolicy::Introspect
}

//! Asks the origin about single tokens: one question at a time for a token, few at a time in all,
//! and none for a moment after one without an answer. The answer goes to every instance.

use crate::origin_client::OriginClient;
use crate::pool::Pool;
use crate::response::now_ms;
use crate::sync;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;
use tollgate_gate::BackOff;

/// Most questions at a time.
const MAX_CONCURRENT_QUESTIONS: usize = 32;
/// How long a request waits for the answer, the wait for its turn included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The questions about single tokens.
pub(crate) struct Introspector {
    pool: Arc<Pool>,
    client: OriginClient,
    turns: Semaphore,
    /// Questions under way, by their tokens.
    flights: Mutex<HashMap<String, Arc<OnceCell<()>>>>,
    back_off: Mutex<BackOff>,
}

impl Introspector {
    pub(crate) fn new(pool: Arc<Pool>, client: OriginClient) -> Introspector {
        Introspector {
            pool,
            client,
            turns: Semaphore::new(MAX_CONCURRENT_QUESTIONS),
            flights: Mutex::default(),
            back_off: Mutex::default(),
        }
    }

    /// Asks the origin about a token, or waits for the question that another request asks. The
    /// instances then have an answer, or know that there is none.
    pub(crate) async fn introspect(&self, token: &str) {
        let question = Arc::clone(self.lock_flights().entry(token.to_owned()).or_default());
        let flight = Flight { introspector: self, token, question };
        flight.question.get_or_init(|| self.ask(token)).await;
    }

    async fn ask(&self, token: &str) {
        let is_failing = self.lock_back_off().remaining_delay_ms(now_ms()) > 0;
        let asked = match is_failing {
            true => Err("the last question had no answer".to_owned()),
            false => timeout(ANSWER_TIMEOUT, self.fetch_answer(token))
                .await
                .unwrap_or_else(|_| Err(format!("no answer for {} ms", ANSWER_TIMEOUT.as_millis()))),
        };
        match asked {
            Ok(()) => self.lock_back_off().record_success(),
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "a token cannot be introspected");
                    self.lock_back_off().record_failure(now_ms(), sync::random_byte());
                }
                self.on_all(token, |validator, token| validator.introspection_failed(token, now_ms())).await;
            }
        }
    }

    async fn fetch_answer(&self, token: &str) -> Result<(), String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let question = sync::new_question()?;
        let target = self.pool.on_any(|validator| validator.next_introspection(token, question)).await;
        let target = target.ok().flatten().ok_or("the edge has no key")?;
        let answer = self.client.get(&target, Duration::ZERO, None).await?;
        let accept = move |validator: &mut crate::Validator, token: &str| {
            validator.accept_introspection(token, answer.status, &answer.body, question)
        };
        let accepted = self.on_all(token, accept).await;
        accepted.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    /// Runs `call` on all instances, outside of the threads that serve. Those that are out of
    /// service are skipped: they ask again.
    async fn on_all<R: Send + 'static>(
        &self,
        token: &str,
        call: impl Fn(&mut crate::Validator, &str) -> wasmtime::Result<R> + Send + 'static,
    ) -> Vec<R> {
        let (pool, token) = (Arc::clone(&self.pool), token.to_owned());
        let run = move || {
            (0..pool.size()).filter_map(|index| pool.on(index, |validator| call(validator, &token)).ok()).collect()
        };
        tokio::task::spawn_blocking(run).await.unwrap_or_default()
    }

    fn lock_flights(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<()>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_back_off(&self) -> MutexGuard<'_, BackOff> {
        self.back_off.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's share in a question.
struct Flight<'a> {
    introspector: &'a Introspector,
    token: &'a str,
    question: Arc<OnceCell<()>>,
}

/// Ends the question when it is answered, or when no request waits for it any more.
impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.introspector.lock_flights();
        let is_current = flights.get(self.token).is_some_and(|current| Arc::ptr_eq(current, &self.question));
        // The map has one share, and this request another.
        if is_current && (self.question.initialized() || Arc::strong_count(&self.question) == 2) {
            flights.remove(self.token);
        }
    }
}

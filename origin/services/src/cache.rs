//! What requests ask of the database: what they ask for again and again is kept in
//! memory (clients, resource servers, the rules that edges follow, and tokens that
//! were found good), what each asks for once (refresh tokens) is asked for together.
//!
//! Nothing of what is kept is used on trust. A request first asks the database how
//! often things have changed, and uses what is kept only if that is from the same
//! count: so it knows all that was committed before it came, by whichever process.
//! That question is one small row, and it is asked once for all requests that wait at
//! one moment. Where a request ends in a transaction anyway, it may go ahead by the
//! last answer, and the transaction finds out whether that still holds.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::yield_now;
use tollgate_core::Config;
use tollgate_keys::Jwk;
use tollgate_model::{
    AccessToken, Audience, Client, ClientId, GrantId, PresentedRefreshToken, RefreshFamily, RefreshToken, Resource,
};
use tollgate_storage::{Store, StoreError, VersionReader, Versions};

use crate::revocation_feed;

/// Things of a kind that are kept at most, of about a kilobyte each. When there are
/// more, it begins anew.
const CAPACITY: usize = 16 * 1024;
/// The version of what never changes.
const UNCHANGING: u64 = 0;
/// Questions that wait, and that are asked together, at most.
const MOST_WAITING: usize = 1024;
const MOST_AT_ONCE: usize = 128;

/// What is known, and how to know whether it still holds. Clones are the same.
#[derive(Clone)]
pub struct RegistrationCache {
    store: Store,
    asking: Arc<Asking>,
    answers: watch::Receiver<Answer>,
    clients: Arc<VersionedCache<ClientId, Client>>,
    resources: Arc<VersionedCache<Audience, Option<Resource>>>,
    tokens: Arc<VersionedCache<[u8; 32], AccessToken>>,
    rules: Arc<VersionedCache<(), Config>>,
    families: Arc<VersionedCache<GrantId, RefreshFamily>>,
    looking_up: mpsc::Sender<Question>,
}

/// A refresh token that somebody asks for.
type Question = (PresentedRefreshToken, oneshot::Sender<Option<RefreshToken>>);

/// What those who wait and the task that asks for them share.
#[derive(Default)]
struct Asking {
    somebody_waits: Notify,
    /// How many questions were begun.
    begun: AtomicU64,
}

/// What came of a question; no versions if the database failed.
#[derive(Clone, Copy)]
struct Answer {
    /// Its number, in the order in which they were begun.
    question: u64,
    versions: Option<Versions>,
}

impl RegistrationCache {
    /// Knows nothing yet; and the task that asks the database for all who wait. It
    /// ends with the last clone.
    pub fn new(store: Store) -> (RegistrationCache, impl Future<Output = ()> + Send + 'static) {
        let asking = Arc::new(Asking::default());
        let (answer, answers) = watch::channel(Answer { question: 0, versions: None });
        let (looking_up, questions) = mpsc::channel(MOST_WAITING);
        let (one, other) =
            (ask(store.version_reader(), Arc::clone(&asking), answer), look_up(store.clone(), questions));
        let task = async move {
            tokio::join!(one, other);
        };
        let (clients, resources, tokens) = (Arc::default(), Arc::default(), Arc::default());
        let (rules, families) = (Arc::default(), Arc::default());
        (RegistrationCache { store, asking, answers, clients, resources, tokens, rules, families, looking_up }, task)
    }

    /// How often things had changed at a moment after this was called.
    pub async fn versions(&self) -> Result<Versions, StoreError> {
        let mut answers = self.answers.clone();
        // One that was under way already may have missed what was committed just now.
        let begun = self.asking.begun.load(Ordering::SeqCst);
        self.asking.somebody_waits.notify_one();
        match answers.wait_for(|answer| answer.question > begun).await.map(|answer| answer.versions) {
            Ok(Some(versions)) => Ok(versions),
            // Whoever asks for itself is told what is wrong.
            Ok(None) | Err(_) => Box::pin(self.store.get_versions()).await,
        }
    }

    /// How often things had changed when that was asked last. What is decided by it
    /// must be confirmed by the transaction that it leads to, see
    /// [`IssueRequest::registrations_version`](tollgate_storage::IssueRequest::registrations_version).
    pub fn latest_versions(&self) -> Option<Versions> {
        self.answers.borrow().versions
    }

    /// The client with this id, if it is in memory as of `then`.
    pub fn cached_client(&self, id: &ClientId, then: Versions) -> Option<Arc<Client>> {
        self.clients.get(id, then.registrations)
    }

    /// The client with this id, if there is one, as of `now` or later.
    pub async fn client(&self, id: &ClientId, now: Versions) -> Result<Option<Arc<Client>>, StoreError> {
        if let Some(client) = self.cached_client(id, now) {
            return Ok(Some(client));
        }
        let client = Box::pin(self.store.find_client(id)).await?.map(Arc::new);
        // Not of those that are none: strangers can think of as many ids as they like.
        if let Some(client) = &client {
            self.clients.keep(id.clone(), now.registrations, Arc::clone(client));
        }
        Ok(client)
    }

    /// The resource server of this audience, if one is registered, as of `now` or
    /// later. Only tokens of this origin name audiences here, so those that are
    /// none are known as well.
    pub async fn resource(&self, audience: &Audience, now: Versions) -> Result<Arc<Option<Resource>>, StoreError> {
        if let Some(resource) = self.resources.get(audience, now.registrations) {
            return Ok(resource);
        }
        let resource = Arc::new(Box::pin(self.store.find_resource(audience)).await?);
        self.resources.keep(audience.clone(), now.registrations, Arc::clone(&resource));
        Ok(resource)
    }

    /// The rules that edges follow, as of `now` or later, for this audience and these
    /// keys; none if edges could not read them.
    pub async fn edge_config(
        &self,
        audience: &Audience,
        keys: &[Jwk],
        now: Versions,
    ) -> Result<Option<Arc<Config>>, StoreError> {
        if let Some(rules) = self.rules.get(&(), now.config) {
            return Ok(Some(rules));
        }
        let document =
            revocation_feed::edge_config::document(audience.as_str(), keys, &self.store.list_routes().await?).ok();
        let rules = document.and_then(|document| Config::read(&document).ok()).map(Arc::new);
        if let Some(rules) = &rules {
            self.rules.keep((), now.config, Arc::clone(rules));
        }
        Ok(rules)
    }

    /// What the refresh tokens of this one's grant have in common; none if it has
    /// none. Whether the grant still stands must be found out by the transaction
    /// that this leads to.
    pub async fn refresh_family(
        &self,
        presented: &PresentedRefreshToken,
    ) -> Result<Option<Arc<RefreshFamily>>, StoreError> {
        if let Some(family) = self.families.get(&presented.grant, UNCHANGING) {
            return Ok(Some(family));
        }
        let family = Box::pin(self.refresh_token(presented.clone())).await?.map(|token| token.family);
        if let Some(family) = &family {
            self.families.keep(presented.grant.clone(), UNCHANGING, Arc::clone(family));
        }
        Ok(family)
    }

    /// What the grant of this refresh token knows of it, as
    /// [`Store::find_refresh_token`].
    pub async fn refresh_token(&self, presented: PresentedRefreshToken) -> Result<Option<RefreshToken>, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.looking_up.send((presented.clone(), answer)).await.is_ok()
            && let Ok(token) = answered.await
        {
            return Ok(token);
        }
        // Whoever asks for itself is told what is wrong.
        self.store.find_refresh_token(presented).await
    }

    /// The record of a token of this text that was found good, if nothing was revoked
    /// since. It may have expired.
    pub fn valid_token(&self, unverified_token: &str, now: Versions) -> Option<Arc<AccessToken>> {
        self.tokens.get(&name(unverified_token), now.sequence)
    }

    /// Remembers that the token of this text was found good as of `now` or later.
    pub fn insert_valid_token(&self, text: &str, now: Versions, token: Arc<AccessToken>) {
        self.tokens.keep(name(text), now.sequence, token);
    }
}

/// A token in memory is no token that somebody could take from there.
fn name(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

async fn ask(mut reader: VersionReader, asking: Arc<Asking>, answer: watch::Sender<Answer>) {
    loop {
        tokio::select! {
            () = asking.somebody_waits.notified() => {}
            () = answer.closed() => return,
        }
        // Whoever else is about to ask does so first: one question more costs more than a
        // moment.
        yield_now().await;
        let question = asking.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let versions = reader.read().await.inspect_err(|error| tracing::error!(%error, "the versions are not known"));
        answer.send_replace(Answer { question, versions: versions.ok() });
    }
}

/// Answers all questions that came together by one statement or few; if the database
/// fails, none.
async fn look_up(store: Store, mut questions: mpsc::Receiver<Question>) {
    let mut asked = Vec::with_capacity(MOST_AT_ONCE);
    while questions.recv_many(&mut asked, MOST_AT_ONCE).await > 0 {
        // Nothing is looked up for callers who have disconnected.
        asked.retain(|(_, answer): &Question| !answer.is_closed());
        let (presented, answers): (Vec<_>, Vec<_>) = asked.drain(..).unzip();
        let found = store.find_refresh_tokens(&presented).await;
        let found = found.inspect_err(|error| tracing::error!(%error, "refresh tokens could not be looked up"));
        // Nobody is answered then: whoever asked asks for itself.
        for (answer, token) in answers.into_iter().zip(found.unwrap_or_default()) {
            // Whoever asked may be gone.
            let _ = answer.send(token);
        }
    }
}

/// Things by name, each with the version that it is of.
struct VersionedCache<K, V>(Mutex<HashMap<K, (u64, Arc<V>)>>);

impl<K, V> Default for VersionedCache<K, V> {
    fn default() -> VersionedCache<K, V> {
        VersionedCache(Mutex::default())
    }
}

impl<K: Eq + Hash, V> VersionedCache<K, V> {
    fn get(&self, name: &K, version: u64) -> Option<Arc<V>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|(of, _)| *of == version).map(|(_, value)| Arc::clone(value))
    }

    fn keep(&self, name: K, version: u64, value: Arc<V>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= CAPACITY {
            kept.clear();
        }
        kept.insert(name, (version, value));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use tollgate_model::{GrantId, SecretHash};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Log;

        fn make_writer(&self) -> Log {
            self.clone()
        }
    }

    #[tokio::test]
    async fn the_log_says_what_could_not_be_looked_up() {
        let log = Log::default();
        let _logging = tracing::subscriber::set_default(tracing_subscriber::fmt().with_writer(log.clone()).finish());
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("known.db").display());
        let store = Store::open(&url).await.expect("opened");
        let (known, asking) = RegistrationCache::new(store.clone());
        store.close().await;
        let presented = PresentedRefreshToken { grant: GrantId::from_random(&[1; 12]), hash: SecretHash::of("r") };
        let asked = async { known.refresh_token(presented).await };
        tokio::select! {
            answer = asked => assert!(answer.is_err(), "the database is closed"),
            () = asking => panic!("somebody asks still"),
        }
        let log = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        assert!(log.contains("refresh tokens could not be looked up"), "{log}");
    }
}

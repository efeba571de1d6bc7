//! What is fuzzed: a function for each kind of bytes that come from outside. It panics when the crate breaks its word.
//!
//! Signed bytes are tried twice: as they came, and signed anew with the key of the tests, so that a changed byte reaches the
//! code behind the signature too. The functions are used by the suite (`tests/attacks`), on any Rust, and by cargo-fuzz.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tollgate_core::{
    CheckedByCaller, Config, ConfigDigest, DeltaParts, Deltas, HashChain, KeySet, MAX_KEYS, MAX_ROUTES, Replica,
    RevocationId, RevocationKind, RevokedBefore, Snapshot, SnapshotParts, SnapshotSigner, TokenIdentifiers,
    TokenRequirements, UnknownStatusPolicy, build_deltas, build_snapshot, verify,
};

use crate::plain;

/// The issuer of every seed.
pub const ISSUER: &str = "https://auth.example";
/// The audience of every token that is a seed.
pub const AUDIENCE: &str = "https://api.example";
/// When the tokens are judged, Unix seconds.
pub const NOW: u64 = 1_800_000_000;
/// The key that signs messages and tokens here.
pub const SEED: [u8; 32] = [7; 32];
const SIGNATURE_BYTES: usize = 64;
/// Seconds that the clocks may be apart.
pub const LEEWAY: u64 = 30;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&SEED));
static SIGNER: LazyLock<SnapshotSigner> = LazyLock::new(|| SnapshotSigner::from_seed(&SEED));
static PINS: LazyLock<[[u8; 32]; 1]> = LazyLock::new(|| [KEY.verifying_key().to_bytes()]);
/// The keys by which tokens are judged.
pub static TOKEN_KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let secret = URL_SAFE_NO_PAD.encode(SEED);
    let point = URL_SAFE_NO_PAD.encode(PINS[0]);
    let jwks = format!(
        r#"{{"keys":[{{"kty":"oct","kid":"h","alg":"HS256","k":"{secret}"}},{{"kty":"OKP","kid":"e","crv":"Ed25519","x":"{point}"}}]}}"#
    );
    KeySet::from_jwks(jwks.as_bytes()).expect("two good keys")
});

/// Which of the two readings of an input was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The bytes as they came.
    pub as_sent: bool,
    /// The bytes signed anew, or built into a message.
    pub signed_anew: bool,
}

/// The same message with the signature of the tests' key in place of its last 64 bytes.
pub fn signed_anew(message: &[u8]) -> Vec<u8> {
    let mut signed = message[..message.len().saturating_sub(SIGNATURE_BYTES)].to_vec();
    let signature = KEY.sign(&signed).to_bytes();
    signed.extend(signature);
    signed
}

/// A snapshot, as an edge receives it.
pub fn snapshot(data: &[u8]) -> Accepted {
    let as_sent = Snapshot::decode(data.to_vec(), &*PINS).is_ok();
    let signed = signed_anew(data);
    assert!(!as_sent || signed == data, "a snapshot was accepted that the key did not sign");
    let decoded = Snapshot::decode(signed, &*PINS);
    if let Ok(snapshot) = &decoded {
        ask_snapshot(snapshot);
    }
    Accepted { as_sent, signed_anew: decoded.is_ok() }
}

/// What a snapshot answers is what a plain reading of its bytes says.
fn ask_snapshot(snapshot: &Snapshot) {
    let plain = plain::Snapshot::read(snapshot.as_bytes()).expect("the plain reader reads what the crate reads");
    assert_eq!((snapshot.issuer(), snapshot.sequence()), (plain.issuer.as_str(), plain.sequence));
    assert_eq!((snapshot.epoch(), snapshot.everything_before()), (plain.epoch, RevokedBefore(plain.before)));
    for (kind, entries) in RevocationKind::GROUPS.into_iter().zip(&plain.groups) {
        assert_eq!(snapshot.count(kind), entries.len());
        for (id, mark) in entries {
            assert_eq!(snapshot.revoked_before(kind, RevocationId::from_bytes(*id)), RevokedBefore(*mark));
        }
    }
    assert_eq!(snapshot.count(RevocationKind::Token), plain.others.len());
    for bytes in snapshot.as_bytes().windows(RevocationId::LEN).step_by(7) {
        let id = RevocationId::from_bytes(bytes.try_into().expect("windows of 16"));
        let listed = plain.others.contains(id.as_bytes());
        assert!(listed || !snapshot.is_token_revoked(id, None), "only what is listed is revoked");
        for epoch in [0, snapshot.epoch(), u32::MAX] {
            snapshot.is_token_revoked(id, Some(epoch));
        }
    }
    let replica = Replica::new(snapshot.clone(), snapshot.issuer()).expect("its own issuer");
    ask_replica(&replica, snapshot.issuer());
}

fn ask_replica(replica: &Replica, issuer: &str) {
    for token_id in ["", "a-token", "AAAAAQAAAAAAAAAAAAAAAAAA", "_____wAAAAAAAAAAAAAAAAAA"] {
        let (session, subject, client_id, key_id) = (Some("session"), "subject", "client", Some("key"));
        replica.is_revoked(&TokenIdentifiers { issuer, token_id, session, subject, client_id, key_id, issued_at: NOW });
    }
    replica.needs_snapshot();
    assert!(replica.is_caught_up() || replica.sequence() < u64::MAX);
}

/// A message of deltas, as an edge receives it. There is one way to write each message: what is accepted is what the origin's
/// side makes of the same parts, byte for byte.
pub fn deltas(data: &[u8]) -> Accepted {
    let as_sent = Deltas::decode(data, &*PINS).is_ok();
    let signed = signed_anew(data);
    assert!(!as_sent || signed == data, "deltas were accepted that the key did not sign");
    let decoded = Deltas::decode(&signed, &*PINS);
    if let Ok(deltas) = &decoded {
        let plain = plain::Deltas::read(&signed).expect("the plain reader reads what the crate reads");
        let parts = DeltaParts {
            issuer: &plain.issuer,
            after: plain.after,
            head: deltas.head(),
            as_of_ms: deltas.as_of_ms(),
            chain: HashChain::from_bytes(plain.chain),
            config: ConfigDigest::from_bytes(plain.config),
            epoch: plain.epoch,
            deltas: deltas.entries(),
            nonce: deltas.nonce(),
        };
        let built = build_deltas(&parts, &SIGNER).expect("parts that were read");
        assert!(built == signed, "what was read is not what was written");
        follow(deltas, &plain);
    }
    Accepted { as_sent, signed_anew: decoded.is_ok() }
}

/// An edge that stands where the deltas begin takes them in, once and again.
fn follow(deltas: &Deltas, plain: &plain::Deltas) {
    let (issuer, chain) = (plain.issuer.as_str(), HashChain::from_bytes(plain.chain));
    let parts = SnapshotParts::new(issuer, plain.after, 0, chain, plain::CONFIG);
    let held = build_snapshot(&parts, &SIGNER).expect("a good snapshot");
    let held = Snapshot::decode(held, &*PINS).expect("what was built");
    let mut replica = Replica::new(held, issuer).expect("its issuer");
    for _ in 0..2 {
        replica.apply(deltas).expect("they follow");
        assert_eq!(replica.sequence(), plain.after + deltas.entries().len() as u64);
    }
    ask_replica(&replica, issuer);
}

/// A token as it came; and, read as a header, a line feed and claims, a token signed with our keys.
pub fn token(data: &[u8]) -> Accepted {
    let as_sent = judge(data);
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let signed = match (lines.next(), lines.next()) {
        (Some(header), Some(claims)) => {
            let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            judge(format!("{input}.{}", URL_SAFE_NO_PAD.encode(hmac(input.as_bytes()))).as_bytes())
        }
        _ => false,
    };
    Accepted { as_sent, signed_anew: signed }
}

/// The HS256 signature by the key of the tests.
pub fn hmac(input: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&SEED).expect("any length is a key");
    mac.update(input);
    mac.finalize().into_bytes().into()
}

fn judge(token: &[u8]) -> bool {
    let scope = ["reports:read".to_owned()];
    let mut expected = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &scope,
        leeway: LEEWAY,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let verdict = verify(token, &TOKEN_KEYS, &expected, &CheckedByCaller, NOW);
    if let Ok(verified) = &verdict {
        let (input, signature) = token.split_at(token.iter().rposition(|&byte| byte == b'.').expect("three parts"));
        let by_secret = signature[1..] == *URL_SAFE_NO_PAD.encode(hmac(input)).as_bytes();
        let by_key = signature[1..] == *URL_SAFE_NO_PAD.encode(KEY.sign(input).to_bytes()).as_bytes();
        assert!(by_secret || by_key, "a token was accepted that no key signed");
        assert_eq!(verified.issuer(), ISSUER);
        assert!(verified.audience().any(|audience| audience == AUDIENCE));
        assert!(verified.expires_at() + LEEWAY > NOW && verified.issued_at() <= NOW + LEEWAY);
        assert!(verified.scope().split(' ').any(|value| value == scope[0]));
    }
    expected.allow_plain_jwt = true;
    let laxer = verify(token, &TOKEN_KEYS, &expected, &CheckedByCaller, NOW);
    assert!(laxer.is_ok() || verdict.is_err(), "who takes a plain JWT takes an access token");
    verdict.is_ok()
}

/// A key set of another issuer, or an edge's own.
pub fn jwks(data: &[u8]) -> Accepted {
    let keys = KeySet::from_jwks(data);
    if let Ok(keys) = &keys {
        assert!(keys.len() <= MAX_KEYS);
        assert!(KeySet::default().extend(keys).is_ok(), "a set that is good alone is good in an empty one");
    }
    Accepted { as_sent: keys.is_ok(), signed_anew: false }
}

/// The configuration document of a snapshot: it can be read if and only if a snapshot can be made with it.
pub fn config(data: &[u8]) -> Accepted {
    let config = Config::read(data);
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), data);
    let built = build_snapshot(&parts, &SIGNER);
    assert_eq!(config.is_ok(), built.is_ok());
    if let (Ok(config), Ok(built)) = (&config, built) {
        let snapshot = Snapshot::decode(built, &*PINS).expect("what was built");
        assert_eq!(snapshot.config_digest(), ConfigDigest::of(data));
        assert_eq!(snapshot.config().audience(), config.audience());
        assert_eq!(snapshot.config().routes(), config.routes());
        assert!(config.routes().len() <= MAX_ROUTES);
        for path in ["/", "/reports/1", "", "*"] {
            let route = config.route("GET", path);
            assert!(
                route.is_err() || route.is_ok_and(|route| config.routes().contains(route) || route.scope().is_empty())
            );
        }
    }
    Accepted { as_sent: config.is_ok(), signed_anew: false }
}

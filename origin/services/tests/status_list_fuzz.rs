//! Decodes mutated status lists: no panic, and no list beyond the size limit. `TOLLGATE_FUZZ_RUNS`
//! sets the number of runs.
#![expect(clippy::expect_used, reason = "a test may fail by panic")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_services::status_lists::{MAX_LIST_BYTES, StatusListToken};

/// The one-bit example of the draft (section 4.2).
const EXAMPLE: &str = "eNrbuRgAAhcBXQ";
const HEADER: &str = r#"{"alg":"EdDSA","typ":"statuslist+jwt","kid":"k"}"#;

/// xorshift64*, so that every run makes the same mutations.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as usize % bound
    }

    /// Changes, truncates, repeats or inserts bytes.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut mutated = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(mutated.len() + 1);
            match (self.below(4), mutated.get_mut(at)) {
                (0, Some(byte)) => *byte ^= 1 << self.below(8),
                (1, _) => mutated.truncate(at),
                (2, _) => mutated.extend_from_within(at..),
                _ => mutated.insert(at, self.below(256) as u8),
            }
        }
        mutated
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn token(claims: &[u8]) -> Vec<u8> {
    format!("{}.{}.{}", encoded(HEADER), encoded(claims), encoded([7; 64])).into_bytes()
}

fn claims(lst: &str) -> Vec<u8> {
    let list = serde_json::json!({ "bits": 1, "lst": lst });
    serde_json::json!({ "sub": "https://auth.example/oauth/status/0", "iat": 1, "exp": 2, "ttl": 1, "status_list": list })
        .to_string()
        .into_bytes()
}

/// Mutates token, claims and compressed list separately, so that mutations reach each layer.
#[test]
fn mutated_status_lists_are_refused_or_bounded() {
    let runs = std::env::var("TOLLGATE_FUZZ_RUNS").map_or(100_000, |runs| runs.parse().expect("a whole number"));
    let valid = token(&claims(EXAMPLE));
    assert!(StatusListToken::decode(&valid).is_ok(), "a valid list");
    let compressed = URL_SAFE_NO_PAD.decode(EXAMPLE).expect("base64url");
    let (mut random, mut decoded) = (Random(0x9e37_79b9_7f4a_7c15), 0);
    for run in 0..runs {
        let mutated = match run % 3 {
            0 => random.mutate(&valid),
            1 => token(&random.mutate(&claims(EXAMPLE))),
            _ => token(&claims(&encoded(random.mutate(&compressed)))),
        };
        if let Ok(token) = StatusListToken::decode(&mutated) {
            assert!(token.list.len() <= 8 * MAX_LIST_BYTES as u64);
            decoded += 1;
        }
    }
    println!("{runs} mutated status lists, {decoded} decoded");
    assert!(decoded > 0 && decoded < runs);
}

//! Bounds of the work for a refusal: constants and the token's length limit it, whatever the token
//! claims. The limit of one millisecond is measured by `cargo xtask bench`.

use std::process::Command;

use tollgate_core::MAX_TOKEN_BYTES;

use crate::keys::Keys;
use crate::token_builder::encode;
use crate::{code, valid_token, verify_token};

/// Stack of the test's thread. Recursion for each nesting level would overflow it; 16 levels need a
/// few KiB.
const STACK_BYTES: usize = 128 * 1024;

#[test]
fn nesting_takes_no_stack() {
    let keys = Keys::new();
    let mut tokens = Vec::new();
    for open in ["[", "{\"a\":", "[[{\"a\":[", "[{},"] {
        let count = 12_000 / open.len();
        let claims = format!("{{\"x\":{}", open.repeat(count));
        tokens.push(valid_token(&keys, "EdDSA").claims_bytes(claims.clone()).sign());
        tokens.push(valid_token(&keys, "EdDSA").header_bytes(claims).sign());
    }
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let count = tokens.len();
    thread
        .spawn(move || tokens.iter().for_each(|token| assert_eq!(code(&verify_token(token)), "bad_json")))
        .unwrap()
        .join()
        .unwrap();
    println!("{count} tokens nested 2,000 levels and more, verified with {STACK_BYTES} bytes of stack");
}

/// As many names as fit, with long common prefixes: the search for duplicates stops at 256 names.
#[test]
fn a_token_full_of_names_is_refused_at_the_257th() {
    let keys = Keys::new();
    let short = (0..1200).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
    let long = (0..300).map(|n| format!("\"{}{n:03}\":0", "x".repeat(30))).collect::<Vec<_>>().join(",");
    let escaped = (0..300).map(|n| format!("\"\\u0061\\u0062{n:03}\":0")).collect::<Vec<_>>().join(",");
    for names in [short, long, escaped] {
        for token in [
            valid_token(&keys, "EdDSA").claims_bytes(format!("{{{names}}}")).sign(),
            valid_token(&keys, "EdDSA").header_bytes(format!("{{{names}}}")).sign(),
        ] {
            assert!(token.len() <= MAX_TOKEN_BYTES, "{} bytes", token.len());
            let refusal = verify_token(&token).unwrap_err().to_string();
            assert!(refusal.ends_with("has too many members"), "{refusal}");
        }
    }
}

/// 12 KiB of one byte, a number of 12,000 digits, a string of 6,000 escapes and others.
#[test]
fn long_runs_of_anything_are_read_once() {
    let keys = Keys::new();
    for (text, word) in [
        (" ".repeat(12_000), "bad_json"),
        (format!("{{\"exp\":{}", "9".repeat(12_000)), "bad_claim"),
        (format!("{{\"exp\":{}}}", "9".repeat(12_000)), "bad_claim"),
        (format!("{{\"exp\":0.{}1}}", "0".repeat(11_900)), "bad_claim"),
        (format!("{{\"exp\":1e{}}}", "9".repeat(11_900)), "bad_claim"),
        (format!("{{\"iss\":\"{}\"}}", "\\n".repeat(5_900)), "bad_claim"),
        (format!("{{\"iss\":\"{}", "\\u0041".repeat(1_900)), "bad_json"),
        (format!("{{{}", "\"a\"".repeat(3_000)), "bad_json"),
        ("[".repeat(12_000), "bad_json"),
        (format!("{{\"aud\":[{}\"a\"]}}", "\"a\",".repeat(2_900)), "bad_claim"),
        (format!("{{\"x\":[{}1]}}", "1,".repeat(5_900)), "missing_claim"),
    ] {
        let verdict = verify_token(valid_token(&keys, "HS256").claims_bytes(text.clone()).sign());
        assert_eq!(code(&verdict), word, "{}", text.get(..30).unwrap());
    }
}

/// A token of 256 MiB is refused without a copy of it: the process has a memory limit of twice that
/// size.
#[test]
fn nothing_past_the_limit_is_read() {
    const LIMIT_KIB: u64 = 512 * 1024;
    if std::env::var_os("TOLLGATE_TEST_LIMITED").is_none() {
        let program = std::env::current_exe().unwrap();
        let this = "bounds::nothing_past_the_limit_is_read";
        let script = format!("ulimit -v {LIMIT_KIB}; exec \"$0\" --exact {this} --test-threads 1");
        let output =
            Command::new("sh").arg("-c").arg(script).arg(program).env("TOLLGATE_TEST_LIMITED", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let zeros = vec![0; 256 << 20]; // half of the memory limit: a copy would exceed it
    let verdict = verify_token(&zeros);
    assert_eq!(code(&verdict), "too_large");
    let second = format!("{}.{}.", encode("{}"), "A".repeat(MAX_TOKEN_BYTES));
    assert_eq!(code(&verify_token(second)), "too_large");
}

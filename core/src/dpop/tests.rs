//! The example of RFC 9449. Proofs that are made for a test are in `core/tests/possession`.

use super::*;

/// RFC 9449 section 7.1, figure 12.
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const PROOF: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOX",
    "pDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNy",
    "diI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5le",
    "GFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHh",
    "XWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-j",
    "fxSYoMxhAJpLjA",
);
/// RFC 9449 section 6.1, figure 8.
const JKT: &[u8] = b"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const ISSUED_AT: u64 = 1_562_262_618;

fn request(now: u64) -> DpopRequest<'static> {
    DpopRequest {
        proof: Ok(PROOF.as_bytes()),
        method: "GET",
        url: Some(RequestUrl { is_https: true, authority: "resource.example.org", path: "/protectedresource" }),
        token: TOKEN,
        nonce_key: None,
        leeway: 30,
        now,
    }
}

#[test]
fn the_example_of_the_rfc_is_accepted_for_its_request_only() {
    let key: Thumbprint = base64url::decode_array(JKT).expect("a thumbprint");
    let proof_use = request(ISSUED_AT).verify(&key).expect("the RFC's proof");
    assert_eq!(proof_use.expires_at, ISSUED_AT + MAX_PROOF_AGE_SECONDS + 30);
    for (now, is_accepted) in
        [(ISSUED_AT - 31, false), (ISSUED_AT - 30, true), (ISSUED_AT + 90, true), (ISSUED_AT + 91, false)]
    {
        let expected = if is_accepted { Ok(proof_use) } else { Err(ProofError::OutOfTime) };
        assert_eq!(request(now).verify(&key), expected, "{now}");
    }
    let of_another_key = request(ISSUED_AT).verify(&[0; 32]);
    assert_eq!(of_another_key, Err(ProofError::OtherKey));
    let changed = |change: fn(&mut DpopRequest<'static>)| {
        let mut request = request(ISSUED_AT);
        change(&mut request);
        request.verify(&key)
    };
    let nonces: &'static NonceKey = alloc::boxed::Box::leak(alloc::boxed::Box::new(NonceKey::new(&[1; 32])));
    let with_nonce = DpopRequest { nonce_key: Some(nonces), ..request(ISSUED_AT) };
    assert_eq!(with_nonce.verify(&key), Err(ProofError::NonceRequired));
    assert_eq!(changed(|request| request.method = "POST"), Err(ProofError::OtherMethod));
    assert_eq!(changed(|request| request.method = "get"), Err(ProofError::OtherMethod));
    assert_eq!(changed(|request| request.url = None), Err(ProofError::OtherUrl));
    assert_eq!(changed(|request| request.token = b"another"), Err(ProofError::OtherToken));
    assert_eq!(changed(|request| request.proof = Err(ProofError::Missing)), Err(ProofError::Missing));
    assert_eq!(changed(|request| request.proof = Err(ProofError::Several)), Err(ProofError::Several));
}

#[test]
fn every_changed_byte_of_a_proof_is_refused() {
    let key: Thumbprint = base64url::decode_array(JKT).expect("a thumbprint");
    for index in 0..PROOF.len() {
        let mut proof = PROOF.as_bytes().to_vec();
        proof[index] = if proof[index] == b'A' { b'B' } else { b'A' };
        let request = DpopRequest { proof: Ok(&proof), ..request(ISSUED_AT) };
        assert!(request.verify(&key).is_err(), "byte {index}");
        let cut = DpopRequest { proof: Ok(&PROOF.as_bytes()[..index]), ..self::request(ISSUED_AT) };
        assert!(cut.verify(&key).is_err(), "{index} bytes");
    }
}

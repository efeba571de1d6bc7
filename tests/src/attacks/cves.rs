//! Known attacks on other libraries, each with its CVE number, or with the RFC that warns of it.
//! `docs/verification.md` describes the flaws.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::signatures::{der, signature_of};
use super::{
    AttackList, BAD_SIGNATURE, CLAIMS_NOT_BASE64URL, HEADER_NOT_BASE64URL, NOT_COMPACT, ProfileRule,
    SIGNATURE_NOT_BASE64URL, UNKNOWN_ALGORITHM, UNKNOWN_KEY, WRONG_ALGORITHM, encode, malformed, raw_claim, raw_header,
    resigned,
};
use crate::token_builder::decode;

/// Bytes before the key in a SubjectPublicKeyInfo (RFC 5280, RFC 5480, RFC 8410).
const ED25519_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_INFO: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const RSA_INFO: [u8; 15] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

impl AttackList<'_> {
    pub(super) fn cves(&mut self) {
        self.algorithm_confusion();
        self.unsigned();
        self.attacker_supplied_keys();
        self.ignored_headers();
        self.signature_encodings();
        self.polyglots();
        self.claims_of_other_types();
        self.exhaustion();
    }

    /// A MAC keyed with public information, in every encoding in which a library read a public key
    /// as a secret.
    fn algorithm_confusion(&mut self) {
        let rsa = self.public_jwk("RS256");
        let (n, e) = (decode(rsa["n"].as_str().expect("n")), decode(rsa["e"].as_str().expect("e")));
        let pkcs1 = sequence(&[integer(&n), integer(&e)]);
        let spki = sequence(&[RSA_INFO.to_vec(), tagged(3, &[&[0], pkcs1.as_slice()].concat())]);
        let p256 = self.public_jwk("ES256");
        let point = [decode(p256["x"].as_str().expect("x")), decode(p256["y"].as_str().expect("y"))].concat();
        let ed25519 = decode(self.public_jwk("EdDSA")["x"].as_str().expect("x"));
        let (rsa_pem, p256_pem) =
            (pem("PUBLIC KEY", &spki), pem("PUBLIC KEY", &[P256_INFO.as_slice(), &point].concat()));
        let ed25519_pem = pem("PUBLIC KEY", &[ED25519_INFO.as_slice(), &ed25519].concat());
        let openssh = |kind: &str, key: &[u8]| format!("{kind} {}", encode(key));
        for (cve, of, secret) in [
            ("CVE-2015-9235 (jsonwebtoken), PEM", "RS256", rsa_pem.clone()),
            ("CVE-2016-10555 (jwt-simple), PEM without its last line feed", "RS256", rsa_pem.trim_end().to_owned()),
            ("CVE-2016-5431 (jose-php), PKCS#1 PEM", "RS256", pem("RSA PUBLIC KEY", &pkcs1)),
            ("CVE-2017-11424 (PyJWT), PKCS#1 PEM", "RS256", pem("RSA PUBLIC KEY", &pkcs1).trim_end().to_owned()),
            ("CVE-2022-29217 (PyJWT), OpenSSH", "EdDSA", openssh("ssh-ed25519", &ed25519)),
            ("CVE-2022-23541 (jsonwebtoken), PEM", "RS256", rsa_pem.replace('\n', "\r\n")),
            ("CVE-2023-48223 (fast-jwt), PKCS#1 PEM", "RS256", format!("{}\n", pem("RSA PUBLIC KEY", &pkcs1))),
            ("CVE-2023-48238 (json-web-token), PEM", "RS256", rsa_pem.replace('\n', "")),
            ("CVE-2024-33663 (python-jose), OpenSSH", "ES256", openssh("ecdsa-sha2-nistp256", &point)),
            ("CVE-2024-37568 (Authlib), PEM", "ES256", p256_pem.clone()),
            ("CVE-2024-54150 (cjwt), PEM", "EdDSA", ed25519_pem),
            ("CVE-2026-34950 (fast-jwt), white space and PEM", "RS256", format!(" \n{rsa_pem}")),
        ] {
            self.confused(cve, of, secret.as_bytes());
        }
        let jwks = self.context.public_jwks;
        for (name, of, secret) in [
            ("the key set", "RS256", jwks.as_bytes().to_vec()),
            ("the JWK", "RS256", rsa.to_string().into_bytes()),
            ("DER", "RS256", spki),
            ("the modulus", "RS256", n),
            ("the point", "ES256", point),
            ("32 public bytes", "EdDSA", ed25519),
        ] {
            self.confused(&format!("RFC 8725 section 2.1, {name}"), of, &secret);
        }
        // Key set with several kinds of keys: `kid` selects the key, and `alg` must not select what
        // it is used for.
        let mixed = self.good("HS256").header("kid", self.context.signer.key_id("ES256")).sign();
        self.fails(ProfileRule::Alg, "CVE-2021-46743 (php-jwt) kid of another kind of key", mixed, WRONG_ALGORITHM);
        let legacy = self.good("RS256").header("kid", self.context.signer.key_id("EdDSA")).sign();
        self.fails(
            ProfileRule::Alg,
            "CVE-2022-23539 (jsonwebtoken) RS256 with a key that is not RSA",
            legacy,
            WRONG_ALGORITHM,
        );
    }

    fn confused(&mut self, name: &str, of: &'static str, secret: &[u8]) {
        let named = self.good("HS256").header("kid", self.context.signer.key_id(of)).signing_input();
        self.fails(
            ProfileRule::Alg,
            format!("{name} as the secret, by its kid"),
            sign_hs256(&named, secret),
            WRONG_ALGORITHM,
        );
        let unnamed = self.good("HS256").header("kid", ()).signing_input();
        self.fails(
            ProfileRule::NoKid,
            format!("{name} as the secret, no kid"),
            sign_hs256(&unnamed, secret),
            BAD_SIGNATURE,
        );
    }

    fn unsigned(&mut self) {
        for alg in ["none", "None", "NONE", "nOnE", "none ", " none", "none\0", "none\n", "ｎone", ""] {
            let input = self.eddsa().header("alg", alg).signing_input();
            let name = format!("CVE-2015-9235 (jsonwebtoken) alg {alg:?}");
            self.fails(ProfileRule::Parts, format!("{name}, no signature"), format!("{input}."), NOT_COMPACT);
            let signed = format!("{input}.{}", encode("x"));
            self.fails(ProfileRule::Alg, format!("{name}, any signature"), signed, UNKNOWN_ALGORITHM);
        }
        for alg in super::ALGORITHMS {
            let input = self.good(alg).signing_input();
            let token = format!("{input}.");
            self.fails(
                ProfileRule::Parts,
                format!("CVE-2020-28042 (ServiceStack) {alg}, empty signature"),
                token,
                NOT_COMPACT,
            );
            let name = format!("CVE-2018-1000125 (prime-jwt) {alg}, no signature part");
            self.fails(ProfileRule::Parts, name, input.clone(), NOT_COMPACT);
            let token = format!("{input}.{}", encode("not a signature"));
            let name = format!("CVE-2021-22573 (google-oauth-client) {alg}, nobody's signature");
            self.fails(ProfileRule::Alg, name, token, BAD_SIGNATURE);
        }
        let bare = self.eddsa().header_bytes(r#"{"alg":"none","typ":"at+jwt"}"#).signing_input();
        let token = format!("{bare}.");
        self.fails(
            ProfileRule::Parts,
            "CVE-2018-1000531 (prime-jwt) none in a header without a kid",
            token,
            NOT_COMPACT,
        );
        let unnamed = self.eddsa().header("alg", "none").header("kid", ()).signing_input();
        let token = format!("{unnamed}.{}", encode([0; 32]));
        self.fails(
            ProfileRule::Alg,
            "CVE-2022-23540 (jsonwebtoken) none where no key is named",
            token,
            UNKNOWN_ALGORITHM,
        );
        for (what, secret) in [("no byte", &b""[..]), ("one NUL", b"\0"), ("64 NULs", &[0; 64]), ("secret", b"secret")]
        {
            let input = self.good("HS256").signing_input();
            let name = format!("CVE-2019-20933 (InfluxDB) a secret of {what}");
            self.fails(ProfileRule::Alg, name, sign_hs256(&input, secret), BAD_SIGNATURE);
        }
        for (what, signature) in
            [("raw", vec![0; 64]), ("DER", der(&[0], &[0])), ("one zero", vec![0]), ("96 zeros", vec![0; 96])]
        {
            let token = resigned(&self.good("ES256").sign(), signature);
            self.fails(
                ProfileRule::Ecdsa,
                format!("CVE-2022-21449 (Java) r and s of zero, {what}"),
                token,
                BAD_SIGNATURE,
            );
        }
    }

    /// The token carries its own key, or a URL of one.
    fn attacker_supplied_keys(&mut self) {
        let theirs = ed25519_dalek::SigningKey::from_bytes(&[0x66; 32]);
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "theirs", "x": encode(theirs.verifying_key()) });
        let signed = |input: String| {
            let signature = ed25519_dalek::Signer::sign(&theirs, input.as_bytes());
            format!("{input}.{}", encode(signature.to_bytes()))
        };
        for kid in [json!("theirs"), json!(self.context.signer.key_id("EdDSA")), json!(null)] {
            let input = self.eddsa().header("jwk", jwk.clone()).header("kid", kid.clone()).signing_input();
            let name = format!("CVE-2018-0114 (node-jose) a key of their own in the header, kid {kid}");
            self.fails(ProfileRule::Forbidden, name, signed(input), "the header member jwk is not accepted");
        }
        let symmetric =
            self.good("HS256").header("jwk", json!({ "kty": "oct", "k": encode([0x66; 32]) })).signing_input();
        let token = sign_hs256(&symmetric, &[0x66; 32]);
        let name = "CVE-2018-0114 (node-jose) a secret of their own in the header";
        self.fails(ProfileRule::Forbidden, name, token, "the header member jwk is not accepted");
        for (name, value) in [
            ("jku", json!("https://attacker.example/jwks.json")),
            ("x5u", json!("https://auth.example@attacker.example/jwks.json")),
            ("x5c", json!(["MIIBszCCAVmgAwIBAgIUAAAA"])),
        ] {
            let token = signed(self.eddsa().header(name, value).signing_input());
            let why = format!("the header member {name} is not accepted");
            self.fails(ProfileRule::Forbidden, format!("RFC 8725 section 3.10, {name} of the attacker's"), token, why);
        }
        for kid in [
            "../../../../../../dev/null",
            "/proc/sys/kernel/randomize_va_space",
            "x' UNION SELECT 'AAAA' --",
            "key;sleep 10",
            "https://attacker.example/key",
            "$(id)",
            "%00",
            "__proto__",
        ] {
            let token = sign_hs256(&self.good("HS256").header("kid", kid).signing_input(), b"");
            self.fails(ProfileRule::Kid, format!("RFC 8725 section 3.10, kid {kid}"), token, UNKNOWN_KEY);
        }
    }

    fn ignored_headers(&mut self) {
        let crit = "the header member crit is not accepted";
        for (cve, crit_list, member) in [
            ("CVE-2025-59420 (Authlib)", json!(["cnf"]), "cnf"),
            ("CVE-2026-32597 (PyJWT)", json!(["x-policy"]), "x-policy"),
        ] {
            let token = self.eddsa().header("crit", crit_list).header(member, "strict").sign();
            self.fails(ProfileRule::Forbidden, format!("{cve} an unknown critical extension"), token, crit);
        }
        // RFC 7797: the payload is not encoded, and the signature covers it as written.
        let draft = self.eddsa().header("b64", false).header("crit", json!(["b64"]));
        let claims = self.eddsa().claims_json().replace('.', "\\u002e");
        let token = self.eddsa().sign_parts(&self.eddsa().header_part(), &claims);
        self.fails(ProfileRule::Parts, "RFC 7797, an unencoded payload", token, CLAIMS_NOT_BASE64URL);
        let both =
            draft.rewrite_header(|text| text.replacen("\"b64\":false,", "", 1).replacen('}', ",\"b64\":false}", 1));
        self.fails(ProfileRule::Forbidden, "RFC 7797, b64 of false and an encoded payload", both.sign(), crit);
        let token = self.eddsa().header("b64", false).sign();
        self.fails(
            ProfileRule::Forbidden,
            "RFC 7797, b64 without crit",
            token,
            "the header member b64 is not accepted",
        );
        for (typ, kind) in [("JWT", "an ID token"), ("logout+jwt", "a logout token"), ("secevent+jwt", "an event")] {
            let token = self.eddsa().header("typ", typ).sign();
            let why = "the token is not an access token";
            self.fails(
                ProfileRule::Typ,
                format!("RFC 8725 section 2.8, {kind} in place of an access token"),
                token,
                why,
            );
        }
    }

    fn signature_encodings(&mut self) {
        for alg in super::ALGORITHMS {
            let good = self.good(alg).sign();
            for (what, mark) in [("a tilde", '~'), ("an exclamation mark", '!'), ("an equals sign", '=')] {
                let (input, signature) = good.rsplit_once('.').expect("a token");
                let token = format!("{input}.{}{mark}{}", &signature[..9], &signature[9..]);
                let name = format!("CVE-2022-25898 (jsrsasign) {alg}, {what} in the signature");
                self.fails(ProfileRule::Parts, name, token, SIGNATURE_NOT_BASE64URL);
            }
        }
        let good = self.good("ES256").sign();
        let signature = signature_of(&good);
        let (r, s) = signature.split_at(32);
        for (what, form) in [
            ("DER", der(r, s)),
            ("DER with a zero behind", [der(r, s), vec![0]].concat()),
            ("zeros behind", [&signature, &[0; 8][..]].concat()),
        ] {
            let name = format!("CVE-2020-14966 (jsrsasign) {what}");
            self.fails(ProfileRule::Ecdsa, name, resigned(&good, form), BAD_SIGNATURE);
        }
        // The same S in another encoding: the group's order is added.
        let good = self.eddsa().sign();
        let token = resigned(&good, super::signatures::beyond_the_order(&signature_of(&good)));
        self.fails(ProfileRule::Ed25519, "CVE-2024-48949 (elliptic) S beyond the group's order", token, BAD_SIGNATURE);
    }

    /// One text that two parsers read as two tokens.
    fn polyglots(&mut self) {
        let (good, forged) = (self.eddsa().sign(), self.eddsa().claim("sub", "root").claims_part());
        let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
        let flattened = format!(r#""protected":"{header}","payload":"{claims}","signature":"{signature}""#);
        let general =
            format!(r#"{{"payload":"{claims}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#);
        let name = "CVE-2022-39227 (python-jwt) compact for one reader, JSON for another";
        let token = format!(r#"{{"{header}.{forged}.":"",{flattened}}}"#);
        self.fails(ProfileRule::Parts, name, token, HEADER_NOT_BASE64URL);
        self.fails(
            ProfileRule::Parts,
            "RFC 7515 section 7.2.2, flattened JSON",
            format!("{{{flattened}}}"),
            NOT_COMPACT,
        );
        self.fails(ProfileRule::Parts, "RFC 7515 section 7.2.1, general JSON", general, NOT_COMPACT);
        let jwe = encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
        let encrypted = format!("{jwe}.{}.{}.{claims}.{}", encode([1; 256]), encode([2; 12]), encode([3; 16]));
        self.fails(ProfileRule::Parts, "CVE-2023-51774 (json-jwt) encrypted to the public key", encrypted, NOT_COMPACT);
        let named = self.eddsa().header("alg", "RSA-OAEP").header("enc", "A256GCM").sign();
        self.fails(ProfileRule::Alg, "CVE-2023-51774 (json-jwt) signed and called encrypted", named, UNKNOWN_ALGORITHM);
        let nested = self.eddsa().header("cty", "JWT").claims_bytes(good.clone()).sign();
        let why = "the token's claims set is not JSON";
        self.fails(ProfileRule::Json, "RFC 7519 section 5.2, a token in a token", nested, why);
    }

    fn claims_of_other_types(&mut self) {
        for text in [r#""9999999999""#, r#""99999999999999999999""#, r#"["1"]"#, "{}"] {
            for name in ["exp", "nbf"] {
                let token = raw_claim(&self.eddsa(), name, text).sign();
                let name_ = format!("CVE-2026-25537 (jsonwebtoken) {name} {text}");
                self.fails(ProfileRule::Dates, name_, token, malformed(name));
            }
        }
        let zero = raw_claim(&self.eddsa(), "exp", "0").sign();
        self.fails(ProfileRule::Times, "CVE-2026-44459 (hono) exp 0", zero, "the token has expired");
        for (name, text) in [("exp", "1e999"), ("nbf", "-1e999"), ("iat", "\"now\""), ("nbf", "false"), ("exp", "null")]
        {
            let token = raw_claim(&self.eddsa(), name, text).sign();
            self.fails(ProfileRule::Dates, format!("CVE-2026-44459 (hono) {name} {text}"), token, malformed(name));
        }
        for (what, aud) in [("no audience", json!([])), ("an audience of no letters", json!(""))] {
            let token = self.eddsa().claim("aud", aud).sign();
            self.fails(ProfileRule::Audience, format!("CVE-2020-26160 (jwt-go) {what}"), token, malformed("aud"));
        }
        let both = self.eddsa().claim("iss", json!(["https://attacker.example", self.context.issuer])).sign();
        self.fails(ProfileRule::Required, "CVE-2025-30144 (fast-jwt) issuers in an array", both, malformed("iss"));
    }

    fn exhaustion(&mut self) {
        let dots = ".".repeat(16_000);
        self.fails(ProfileRule::Parts, "CVE-2025-30204 (golang-jwt) 16,000 dots", dots.clone(), NOT_COMPACT);
        let good = self.eddsa().sign();
        self.fails(
            ProfileRule::Parts,
            "CVE-2025-27144 (go-jose) a token and 15,000 dots",
            format!("{good}{}", &dots[..15_000]),
            NOT_COMPACT,
        );
        let deep = raw_claim(&self.eddsa(), "x", &format!("{}1{}", "{\"a\":".repeat(1500), "}".repeat(1500))).sign();
        let why = "the token's claims set is nested too deep";
        self.fails(ProfileRule::Depth, "CVE-2025-53864 (Nimbus) 1,500 objects in one another", deep, why);
        for cve in ["CVE-2024-33664 (python-jose)", "CVE-2024-28176 (jose)"] {
            let header = encode(r#"{"alg":"dir","enc":"A128CBC-HS256","zip":"DEF"}"#);
            let bomb = format!("{header}..{}.{}.{}", encode([0; 16]), encode([0; 4096]), encode([0; 16]));
            self.fails(ProfileRule::Parts, format!("{cve} a compressed text, encrypted"), bomb, NOT_COMPACT);
            let token = raw_header(&self.eddsa(), "zip", "\"DEF\"").sign();
            let why = "the header member zip is not accepted";
            self.fails(ProfileRule::Forbidden, format!("{cve} a compressed text, signed"), token, why);
        }
        let slow = self.eddsa().header("alg", "PBES2-HS256+A128KW").header("p2c", 2_000_000_000).sign();
        self.fails(ProfileRule::Alg, "CVE-2023-52428 (Nimbus) two thousand million rounds", slow, UNKNOWN_ALGORITHM);
    }
}

/// Signs the text with HS256 by this secret.
fn sign_hs256(input: &str, secret: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length is a key");
    mac.update(input.as_bytes());
    format!("{input}.{}", encode(mac.finalize().into_bytes()))
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head.as_slice(), content].concat()
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    tagged(2, &[sign, bytes].concat())
}

/// A key in PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

//! JSON of header and claims.

use super::{
    AttackList, CLAIMS_NOT_JSON, CLAIMS_WRONG_TYPE, HEADER_NOT_JSON, HEADER_WRONG_TYPE, ProfileRule, beginning_with,
    raw_claim, raw_header,
};

const CLAIMS_TOO_DEEP: &str = "the token's claims set is nested too deep";
const CLAIMS_TOO_MANY: &str = "the token's claims set has too many members";

/// Re-encodes a text.
type Rewriting<'a> = &'a dyn Fn(&str) -> Vec<u8>;

impl AttackList<'_> {
    pub(super) fn json(&mut self) {
        self.encodings_of_text();
        self.grammar();
        self.depth();
        self.members();
        self.duplicates();
        self.trailing();
    }

    fn encodings_of_text(&mut self) {
        let (header, claims) = (self.eddsa().header_json(), self.eddsa().claims_json());
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let broken = |text: &str, bytes: &[u8]| {
            let name = [b"{\"x\":\"", bytes, b"\","].concat();
            [&name, text.get(1..).expect("a brace").as_bytes()].concat()
        };
        let kinds: [(&str, Rewriting<'_>); 7] = [
            ("a BOM before", &|text| format!("\u{feff}{text}").into_bytes()),
            ("UTF-16", &|text| utf16(text)),
            ("a byte that is not UTF-8", &|text| broken(text, &[0xff])),
            ("Latin-1", &|text| broken(text, &[b'c', 0xe9])),
            ("an overlong form", &|text| broken(text, &[0xc0, 0xaf])),
            ("a surrogate in UTF-8", &|text| broken(text, &[0xed, 0xa0, 0x80])),
            ("half a character", &|text| broken(text, &[0xe2, 0x82])),
        ];
        for (name, make) in kinds {
            let token = self.eddsa().header_bytes(make(&header)).sign();
            self.fails(ProfileRule::Json, format!("{name}, header"), token, HEADER_NOT_JSON);
            let token = self.eddsa().claims_bytes(make(&claims)).sign();
            self.fails(ProfileRule::Json, format!("{name}, claims"), token, CLAIMS_NOT_JSON);
        }
        self.passes(ProfileRule::Json, "a name beyond ASCII", self.eddsa().claim("sub", "日本 é").sign());
        self.passes(
            ProfileRule::Json,
            "every escape",
            raw_claim(&self.eddsa(), "x", r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#).sign(),
        );
        let spaced = self.eddsa().rewrite(|text| format!(" \t\r\n{} \n", text.replacen(':', " : ", 1))).sign();
        self.passes(ProfileRule::Json, "white space between the marks", spaced);
    }

    fn grammar(&mut self) {
        for (name, text) in [
            ("white space alone", " "),
            ("an open object", "{"),
            ("an object closed as an array", "{]"),
            ("names without quotes", "{alg:1}"),
            ("single quotes", "{'alg':'EdDSA'}"),
            ("a comma at the end", r#"{"a":1,}"#),
            ("a comma at the start", r#"{,"a":1}"#),
            ("a name alone", r#"{"a"}"#),
            ("a comment", r#"{"a":1/*x*/}"#),
            ("NaN", r#"{"a":NaN}"#),
            ("Infinity", r#"{"a":Infinity}"#),
            ("a leading zero", r#"{"a":01}"#),
            ("a leading plus", r#"{"a":+1}"#),
            ("a hexadecimal number", r#"{"a":0x1}"#),
            ("a point at the end", r#"{"a":1.}"#),
            ("True", r#"{"a":True}"#),
            ("an unknown escape", r#"{"a":"\x41"}"#),
            ("a lone surrogate", r#"{"a":"\ud800"}"#),
            ("surrogates in the wrong order", r#"{"a":"\udc00\ud800"}"#),
            ("a raw line feed in a string", "{\"a\":\"\n\"}"),
            ("a raw NUL in a string", "{\"a\":\"\0\"}"),
            ("an open string", r#"{"a":"#),
        ] {
            let token = self.eddsa().header_bytes(text).sign();
            self.fails(ProfileRule::Json, format!("{name}, header"), token, HEADER_NOT_JSON);
            let token = self.eddsa().claims_bytes(text).sign();
            self.fails(ProfileRule::Json, format!("{name}, claims"), token, CLAIMS_NOT_JSON);
        }
        for text in ["[]", "null", "true", "1", "\"a\"", "[{}]"] {
            let token = self.eddsa().header_bytes(text).sign();
            self.fails(ProfileRule::Json, format!("{text} for a header"), token, HEADER_WRONG_TYPE);
            let token = self.eddsa().claims_bytes(text).sign();
            self.fails(ProfileRule::Json, format!("{text} for claims"), token, CLAIMS_WRONG_TYPE);
        }
    }

    fn depth(&mut self) {
        let arrays = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        self.passes(ProfileRule::Depth, "16 levels, arrays", raw_claim(&self.eddsa(), "x", &arrays(15)).sign());
        self.passes(ProfileRule::Depth, "16 levels, objects", raw_claim(&self.eddsa(), "x", &objects(15)).sign());
        self.passes(ProfileRule::Depth, "16 levels, header", raw_header(&self.eddsa(), "x", &arrays(15)).sign());
        for levels in [16, 100, 5000] {
            let token = raw_claim(&self.eddsa(), "x", &arrays(levels)).sign();
            self.fails(ProfileRule::Depth, format!("{} levels, arrays", levels + 1), token, CLAIMS_TOO_DEEP);
        }
        for levels in [16, 1000] {
            let token = raw_claim(&self.eddsa(), "x", &objects(levels)).sign();
            self.fails(ProfileRule::Depth, format!("{} levels, objects", levels + 1), token, CLAIMS_TOO_DEEP);
            let token = raw_header(&self.eddsa(), "x", &objects(levels)).sign();
            let why = "the token's header is nested too deep";
            self.fails(ProfileRule::Depth, format!("{} levels, header", levels + 1), token, why);
        }
        let open = self.eddsa().claims_bytes("{\"x\":[".to_owned() + &"[".repeat(11_000)).sign();
        self.fails(ProfileRule::Depth, "11,000 brackets that nobody closes", open, CLAIMS_TOO_DEEP);
    }

    fn members(&mut self) {
        let names = |count: usize| (0..count).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
        // A valid token has 8 claims and 3 header members.
        self.passes(ProfileRule::Members, "256 claims", beginning_with(&self.eddsa(), &names(248)).sign());
        let token = beginning_with(&self.eddsa(), &names(249)).sign();
        self.fails(ProfileRule::Members, "257 claims", token, CLAIMS_TOO_MANY);
        let nested = |count: usize| format!("\"x\":[{{{}}},{{{}}}]", names(count), names(100));
        self.passes(
            ProfileRule::Members,
            "256 members on two levels",
            beginning_with(&self.eddsa(), &nested(147)).sign(),
        );
        let token = beginning_with(&self.eddsa(), &nested(148)).sign();
        self.fails(ProfileRule::Members, "257 members on two levels", token, CLAIMS_TOO_MANY);
        let token = beginning_with(&self.eddsa(), &names(1200)).sign();
        self.fails(ProfileRule::Members, "1,208 claims", token, CLAIMS_TOO_MANY);
        let header = |count: usize| {
            self.eddsa().rewrite_header(|text| text.replacen('{', &format!("{{{},", names(count)), 1)).sign()
        };
        let (most, more) = (header(253), header(254));
        self.passes(ProfileRule::Members, "256 header members", most);
        self.fails(ProfileRule::Members, "257 header members", more, "the token's header has too many members");
        // Names that differ only in the last letter, as long as the limit allows: finding
        // duplicates takes bounded time.
        let long = |n: usize| format!("\"{}{n:03}\":0", "a".repeat(40));
        let alike = (0..240).map(long).collect::<Vec<_>>().join(",");
        self.passes(
            ProfileRule::Members,
            "240 long names that are nearly alike",
            beginning_with(&self.eddsa(), &alike).sign(),
        );
    }

    fn duplicates(&mut self) {
        let claims = "the token's claims set repeats a member name";
        let header = "the token's header repeats a member name";
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope"] {
            let text = self.eddsa().claims_json();
            let value: serde_json::Value = serde_json::from_str(&text).expect("claims");
            let token = beginning_with(&self.eddsa(), &format!("\"{name}\":{}", value[name])).sign();
            self.fails(ProfileRule::Duplicates, format!("{name} twice, alike"), token, claims);
        }
        for (name, members) in [
            ("a claim twice in two spellings", r#""\u0065xp":9999999999"#),
            ("an unknown claim twice", r#""x":1,"x":1"#),
            ("a name twice far inside", r#""x":[{"y":{"a":1,"b":2,"a":3}}]"#),
            ("an empty name twice", r#""":1,"":2"#),
        ] {
            self.fails(ProfileRule::Duplicates, name, beginning_with(&self.eddsa(), members).sign(), claims);
        }
        for (name, members) in [
            ("alg twice, alike", r#""alg":"EdDSA""#),
            ("alg twice, none first", r#""alg":"none""#),
            ("alg twice in two spellings", r#""\u0061lg":"none""#),
            ("kid twice", r#""kid":"another""#),
            ("typ twice", r#""typ":"JWT""#),
            ("an unknown header member twice", r#""x":1,"x":2"#),
        ] {
            let token = self.eddsa().rewrite_header(|text| text.replacen('{', &format!("{{{members},"), 1)).sign();
            self.fails(ProfileRule::Duplicates, name, token, header);
        }
        for (name, members) in [
            ("the same name on two levels", r#""x":{"exp":1,"x":{"x":1}}"#),
            ("names that differ in case", r#""EXP":1,"Exp":2,"eXp":3"#),
            ("names that look alike", r#""\u00e9":1,"e\u0301":2"#),
        ] {
            self.passes(ProfileRule::Duplicates, name, beginning_with(&self.eddsa(), members).sign());
        }
    }

    fn trailing(&mut self) {
        for tail in ["{}", "x", ",", "}", "]", "\0", "null", "{\"exp\":9999999999}", "//", "\u{a0}"] {
            let token = self.eddsa().rewrite(|text| format!("{text}{tail}")).sign();
            self.fails(ProfileRule::Trailing, format!("{tail:?} behind the claims"), token, CLAIMS_NOT_JSON);
            let token = self.eddsa().rewrite_header(|text| format!("{text}{tail}")).sign();
            self.fails(ProfileRule::Trailing, format!("{tail:?} behind the header"), token, HEADER_NOT_JSON);
        }
        let token = self.eddsa().rewrite(|text| format!("{text} \t\r\n")).sign();
        self.passes(ProfileRule::Trailing, "white space behind the claims", token);
    }
}

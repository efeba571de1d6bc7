//! Texts that the reader accepts, and texts that it refuses.

use alloc::string::String;
use alloc::vec::Vec;

use super::*;

fn check(text: &str) -> Result<()> {
    object(text.as_bytes(), |_, reader| reader.skip())
}

fn date(number: &str) -> Result<u64> {
    let mut read = 0;
    object(alloc::format!("{{\"d\":{number}}}").as_bytes(), |_, reader| {
        read = reader.numeric_date()?;
        Ok(())
    })?;
    Ok(read)
}

#[test]
fn reads_texts_that_rfc_8259_allows() {
    for text in [
        "{}",
        " { } ",
        r#"{"a":1,"b":-0.5e+10,"c":[true,false,null,[],{}],"d":"\u00e9\ud83d\ude00\n"}"#,
        "{\"a\"\t:\r\n1}",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn refuses_texts_that_rfc_8259_forbids() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{]",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        "{a:1}",
        "{'a':1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":+1}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":tru}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":1/*c*/}",
    ] {
        assert_eq!(check(text), Err(JsonError::Syntax), "{text:?}");
    }
    for text in ["[]", "1", "null", "\"a\""] {
        assert_eq!(check(text), Err(JsonError::WrongType), "{text:?}");
    }
    assert_eq!(object(b"{\"a\":\"\xff\"}", |_, reader| reader.skip()), Err(JsonError::Syntax));
}

#[test]
fn refuses_duplicate_names_at_every_level_and_in_every_spelling() {
    for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"b":1,"c":2,"b":3}]}"#] {
        assert_eq!(check(text), Err(JsonError::DuplicateName), "{text}");
    }
    assert_eq!(check(r#"{"a":{"a":1},"b":{"a":1}}"#), Ok(()));
}

#[test]
fn bounds_depth_and_members() {
    let nested = |levels: usize| alloc::format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
    assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
    assert_eq!(check(&nested(100_000)), Err(JsonError::TooDeep));
    let wide = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| alloc::format!("\"{n}\":0")).collect();
        alloc::format!("{{{}}}", members.join(","))
    };
    assert_eq!(check(&wide(MAX_MEMBERS)), Ok(()));
    assert_eq!(check(&wide(MAX_MEMBERS + 1)), Err(JsonError::TooMany));
}

#[test]
fn dates_are_whole_seconds_up_to_the_year_9999() {
    for (number, seconds) in
        [("0", 0), ("1700000000", 1_700_000_000), ("1.7e9", 1_700_000_000), ("1700000000.0", 1_700_000_000)]
    {
        assert_eq!(date(number), Ok(seconds), "{number}");
    }
    assert_eq!(date("253402300799"), Ok(MAX_NUMERIC_DATE));
    for number in
        ["253402300800", "-1", "-0.1", "1.5", "1e400", "18446744073709551616", "1e-1", "1700000000.0000000001"]
    {
        assert_eq!(date(number), Err(JsonError::OutOfRange), "{number}");
    }
    for wrong in ["\"1\"", "true", "null", "[1]"] {
        assert_eq!(date(wrong), Err(JsonError::WrongType), "{wrong}");
    }
}

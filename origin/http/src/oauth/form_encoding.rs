//! Strict decoding of form-encoded text.

/// Why parameters cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    #[error("a parameter comes twice")]
    Repeated,
    #[error("the parameters are not well-formed")]
    Malformed,
}

/// Decodes `+` and `%XX` of a form (WHATWG URL, application/x-www-form-urlencoded), but refuses
/// incomplete encodings.
pub(crate) fn decode(text: &str) -> Result<String, ParameterError> {
    // Most texts need no decoding, which is checked for many bytes at a time.
    if !text.bytes().fold(false, |found, byte| found | matches!(byte, b'+' | b'%')) {
        return Ok(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit(), digit());
                let value = high.zip(low).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or(ParameterError::Malformed)?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| ParameterError::Malformed)
}

//! Comparison of byte strings, eight bytes at a time. In WebAssembly `==` compares byte by byte,
//! which takes twenty times as long.

/// Whether both are equal. The time depends on their lengths only.
pub(crate) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let differ = match (one.last_chunk(), other.last_chunk()) {
        // The last word may overlap the one before.
        (Some(end), Some(other_end)) => {
            let pairs = one.as_chunks().0.iter().zip(other.as_chunks().0);
            pairs.fold(difference(end, other_end), |differ, (word, other)| differ | difference(word, other))
        }
        _ => one.iter().zip(other).fold(0, |differ, (byte, other)| differ | u64::from(byte ^ other)),
    };
    differ == 0
}

fn difference(one: &[u8; 8], other: &[u8; 8]) -> u64 {
    u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_that_differ_in_one_bit_are_not_equal() {
        for length in 0..=40 {
            let text: [u8; 40] = core::array::from_fn(|index| index as u8);
            let text = &text[..length];
            assert!(is_equal(text, text));
            assert!(!is_equal(text, &[text, b"x"].concat()) && !is_equal(&[text, b"x"].concat(), text));
            for bit in 0..8 * length {
                let mut other = text.to_vec();
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_equal(text, &other), "bit {bit} of {length} bytes");
            }
        }
    }
}

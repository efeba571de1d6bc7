//! Where the frames of a WebSocket begin and end (RFC 6455 section 5.2), in the bytes that the edge
//! passes on. A close frame can be written only between two frames.

/// Longest header of a frame: two bytes, a length of eight, a masking key of four.
const MAX_HEADER_BYTES: usize = 14;
/// Header of a close frame: final, opcode 8.
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;

/// Position in the bytes of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FramePosition {
    header: [u8; MAX_HEADER_BYTES],
    header_len: usize,
    /// Bytes of the frame's payload that are still to come.
    payload: u64,
}

impl FramePosition {
    /// Whether the next byte begins a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.header_len == 0 && self.payload == 0
    }

    /// Moves over `bytes`. Returns the number of them up to the end of the last frame that ends in
    /// them; 0 if none does.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> usize {
        let (mut at, mut last_end) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            if self.payload > 0 {
                let rest = bytes.len() - at;
                let taken = usize::try_from(self.payload).map_or(rest, |payload| payload.min(rest));
                self.payload -= taken as u64;
                at += taken;
            } else {
                self.push_header(byte);
                at += 1;
            }
            if self.is_between_frames() {
                last_end = at;
            }
        }
        last_end
    }

    fn push_header(&mut self, byte: u8) {
        if let Some(slot) = self.header.get_mut(self.header_len) {
            *slot = byte;
        }
        self.header_len += 1;
        if self.header_len < 2 {
            return;
        }
        let [_, second, length @ ..] = self.header;
        let length_bytes = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key_bytes = if second & MASKED == 0 { 0 } else { 4 };
        if self.header_len < 2 + length_bytes + key_bytes {
            return;
        }
        let extended = length.iter().take(length_bytes).fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        self.payload = if length_bytes == 0 { u64::from(second & !MASKED) } else { extended };
        self.header_len = 0;
    }
}

/// A close frame with a status code and a reason of at most 123 bytes. A client's frame must be
/// masked (RFC 6455 section 5.3).
pub(super) fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let payload: Vec<u8> = code.to_be_bytes().into_iter().chain(reason.bytes()).take(125).collect();
    let length = u8::try_from(payload.len()).unwrap_or_default();
    match mask {
        None => [&[CLOSE, length], &payload[..]].concat(),
        Some(key) => {
            let masked: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            [&[CLOSE, MASKED | length], &key[..], &masked].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, is_masked: bool) -> Vec<u8> {
        let mask_bit = if is_masked { MASKED } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..126 => frame.push(mask_bit | payload as u8),
            126..65536 => {
                frame.push(mask_bit | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0xff; if is_masked { 4 } else { 0 } + payload]);
        frame
    }

    #[test]
    fn ends_of_frames_are_found_in_pieces_of_every_size() {
        for (payload, is_masked) in
            [(0, false), (0, true), (1, false), (125, true), (126, false), (126, true), (65535, false), (65536, true)]
        {
            let bytes = frame(payload, is_masked);
            let two = [bytes.clone(), bytes.clone()].concat();
            for piece in [1, 2, 3, 7, 1000, two.len()] {
                let mut position = FramePosition::default();
                let mut ends = Vec::new();
                for (index, bytes) in two.chunks(piece).enumerate() {
                    let end = position.advance(bytes);
                    if end > 0 {
                        ends.push(index * piece + end);
                    }
                }
                assert!(position.is_between_frames(), "{payload} {is_masked} in pieces of {piece}");
                assert_eq!(ends.last(), Some(&two.len()), "{payload} {is_masked} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn position_inside_a_frame_is_not_between_frames() {
        let bytes = frame(300, true);
        for length in 1..bytes.len() {
            let mut position = FramePosition::default();
            assert_eq!(position.advance(&bytes[..length]), 0, "{length} bytes");
            assert!(!position.is_between_frames(), "{length} bytes");
        }
    }

    #[test]
    fn a_whole_frame_before_a_part_of_the_next_one_is_found() {
        let bytes = frame(10, false);
        let mut position = FramePosition::default();
        assert_eq!(position.advance(&[&bytes[..], &bytes[..5]].concat()), bytes.len());
        assert!(!position.is_between_frames());
    }

    #[test]
    fn close_frame_has_code_and_reason() {
        assert_eq!(close_frame(1008, "why", None), [0x88, 5, 0x03, 0xf0, b'w', b'h', b'y']);
        let masked = close_frame(1008, "why", Some([1, 2, 3, 4]));
        assert_eq!(masked, [0x88, 0x85, 1, 2, 3, 4, 0x03 ^ 1, 0xf0 ^ 2, b'w' ^ 3, b'h' ^ 4, b'y' ^ 1]);
    }
}

//! The checksum of a payload: most of what appending and reading a group costs.

/// crc32c of a payload. Headers and seeds are a few words each: `crc32c` itself is as fast there.
#[inline]
pub(crate) fn payload_crc(payload: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They work differently by length and address: all short payloads, and some around each width that
    /// either works in.
    #[test]
    fn both_ways_give_the_same_checksum() {
        let byte = |at: u32| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0];
        let bytes: Vec<u8> = (0..20_000).map(byte).collect();
        let longer = [512, 768, 1024, 1536, 4096, 8192, 16_384].into_iter();
        let lengths = (0..520).chain(longer.flat_map(|length| length - 9..length + 9));
        for length in lengths {
            for from in 0..9 {
                let payload = &bytes[from..from + length];
                assert_eq!(payload_crc(payload), crc32c::crc32c(payload), "{length} from {from}");
            }
        }
    }

    /// As RFC 3720 has it.
    #[test]
    fn it_is_the_checksum_that_the_format_names() {
        assert_eq!(payload_crc(b"123456789"), 0xe306_9283);
        assert_eq!(payload_crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(payload_crc(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(payload_crc(b""), 0);
    }
}

//! What a batch of a group says: which session, and what happened in it.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version: 1 |
//! | 16 | the session |
//! | the rest | the records of one commit, or of one acknowledgement, as [`v1`](steadfast_wm::codec::v1) writes them |

use std::sync::Arc;

use steadfast_wm::SessionId;

/// Bytes before the records.
pub(crate) const HEADER_BYTES: usize = 17;

const VERSION: u8 = 1;

/// A payload with these records.
pub(crate) fn of(session: SessionId, records: &[u8]) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&session.to_bytes());
    bytes.extend_from_slice(records);
    bytes.into()
}

/// The session and the records of a payload.
pub(crate) fn parse(payload: &[u8]) -> Result<(SessionId, &[u8]), String> {
    let (header, records) = payload
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| format!("{} bytes are not the batch of a session", payload.len()))?;
    let (version, session) = header.split_first_chunk::<1>().expect("the header has 17 bytes");
    if *version != [VERSION] {
        return Err(format!(
            "the batch has version {}, this build knows {VERSION}: a newer build leads",
            version[0]
        ));
    }
    let session = session.first_chunk().expect("the header has 17 bytes");
    Ok((SessionId::from_bytes(*session), records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_as_it_was_written_and_others_are_refused() {
        let session = SessionId::from_bytes([7; 16]);
        assert_eq!(parse(&of(session, b"records")), Ok((session, &b"records"[..])));
        assert_eq!(parse(&of(session, b"")), Ok((session, &b""[..])));
        let mut newer = of(session, b"records").to_vec();
        newer[0] = 2;
        assert!(parse(&newer).unwrap_err().contains("version 2"));
        assert!(parse(&newer[..16]).unwrap_err().contains("16 bytes"));
    }
}

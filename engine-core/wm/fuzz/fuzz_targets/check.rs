//! What is asked of the record codec, by the fuzzer and by the tests that replay its corpus.

use steadfast_wm::codec::v1;

/// Decodes record after record: each is an error or comes back the same.
///
/// # Panics
///
/// If the codec has a defect.
pub(crate) fn check(mut bytes: &[u8]) {
    let mut again = Vec::new();
    while let Ok((record, rest)) = v1::decode(bytes) {
        assert!(rest.len() < bytes.len(), "a record has bytes");
        again.clear();
        v1::encode(&record, &mut again);
        let (second, nothing) = v1::decode(&again).expect("what was encoded is a record");
        assert_eq!(record, second);
        assert_eq!(nothing, []);
        bytes = rest;
    }
}

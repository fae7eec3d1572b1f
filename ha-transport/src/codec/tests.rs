//! Bytes of messages: they come back, and nothing else is believed.

use super::*;

fn log(of: &[u64]) -> Epochs {
    let mut log = Epochs::new();
    of.iter().for_each(|&epoch| log.push(Epoch(epoch)));
    log
}

fn batch(seq: u64, payload: &[u8]) -> Batch {
    let (prev_epoch, prev_chain) = (Epoch(2), Chain(u64::MAX - 7));
    let (epoch, kind) = (Epoch(2), Kind::Work);
    Batch { epoch, seq: Seq(seq), prev_epoch, prev_chain, kind, payload: payload.into() }
}

fn every_message() -> Vec<Message> {
    let epoch = Epoch(5);
    let start = Batch {
        epoch: Epoch(1),
        seq: Seq(1),
        prev_epoch: Epoch(0),
        prev_chain: Chain(0),
        kind: Kind::EpochStart,
        payload: [].into(),
    };
    let batches = vec![start.clone(), batch(17, b""), batch(18, b"some more of it")];
    vec![
        Message::Hello { epoch, log: log(&[1, 1, 3]), committed: Seq(2) },
        Message::Hello { epoch: Epoch(0), log: log(&[]), committed: Seq(0) },
        Message::Prepare { epoch, batch: batch(17, b"what happened"), committed: Seq(16) },
        Message::Prepare { epoch, batch: start, committed: Seq(0) },
        Message::Acknowledge { epoch, durable: Seq(17) },
        Message::Decide { epoch, committed: Seq(16) },
        Message::Fence { epoch },
        Message::Promise { epoch, log: log(&[1, 2, 2, 4]), trimmed: Seq(3) },
        Message::Fetch { epoch, behind: Seq(3) },
        Message::Tail { epoch, batches },
        Message::Refuse { epoch },
        Message::HandOver { epoch, last: Seq(9) },
        Message::SnapshotOffer {
            epoch,
            offer: Offer {
                id: SnapshotId(u64::MAX - 3),
                at: Seq(9),
                epoch: Epoch(4),
                bytes: 1 << 33,
            },
        },
        Message::SnapshotWant { epoch, id: SnapshotId(77), offset: 1 << 33 },
        Message::SnapshotChunk {
            epoch,
            id: SnapshotId(77),
            offset: 9,
            bytes: b"a piece"[..].into(),
        },
        Message::SnapshotDone { epoch, id: SnapshotId(77), is_whole: true },
        Message::SnapshotDone { epoch, id: SnapshotId(77), is_whole: false },
    ]
}

#[test]
fn every_message_comes_back() {
    for message in every_message() {
        let bytes = encode(u64::MAX / 3, &message);
        assert_eq!(bytes.len(), HEADER_BYTES + body_bytes(&message), "{message:?}");
        assert_eq!(decode(&bytes), Ok((u64::MAX / 3, message)));
    }
}

#[test]
fn the_bytes_are_those_of_version_1() {
    let message = Message::Prepare { epoch: Epoch(5), batch: batch(17, b"x"), committed: Seq(16) };
    let bytes = encode(9, &message);
    let hex = |text: &str| -> Vec<u8> {
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    };
    let expected = hex("5f48010209000000000000000500000000000000\
         1100000000000000f8ffffffffffffff1a000000153f4e4600000000\
         0200000000000000020000000000000010000000000000000278");
    assert_eq!(bytes, expected);
}

#[test]
fn no_flipped_bit_and_no_cut_is_believed() {
    for message in every_message() {
        let bytes = encode(1, &message);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit} of {message:?}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes of {message:?}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err(), "{message:?}");
    }
}

/// Bytes of any content with a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = u32::try_from(bytes.len() - HEADER_BYTES).expect("small");
    bytes[36..40].copy_from_slice(&body.to_le_bytes());
    bytes[CRC_AT..CRC_AT + 4].fill(0);
    let crc = crc32c::crc32c(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn what_makes_no_sense_is_refused_though_its_checksum_fits() {
    let epoch = Epoch(5);
    let with = |change: fn(&mut Batch)| {
        let mut batch = batch(17, b"x");
        change(&mut batch);
        encode(1, &Message::Prepare { epoch, batch, committed: Seq(0) })
    };
    let body = |number| Err(DecodeError::Body { number });
    assert_eq!(decode(&with(|batch| batch.seq = Seq(0))), body(2));
    assert_eq!(decode(&with(|batch| batch.prev_epoch = Epoch(3))), body(2));
    assert_eq!(decode(&with(|batch| batch.epoch = Epoch(6))), body(2));
    assert_eq!(decode(&with(|batch| batch.kind = Kind::EpochStart)), body(2));
    let late = Message::Tail { epoch: Epoch(1), batches: vec![batch(17, b"x")] };
    assert_eq!(decode(&encode(1, &late)), body(8));
    let mut unknown = encode(1, &Message::Fence { epoch });
    unknown[3] = 15;
    assert_eq!(decode(&sealed(unknown)), Err(DecodeError::Unknown { number: 15 }));
    let trimmed = Message::Promise { epoch, log: log(&[1]), trimmed: Seq(2) };
    assert_eq!(decode(&encode(1, &trimmed)), body(6));
    let offer = Offer { id: SnapshotId(1), at: Seq(1), epoch: Epoch(6), bytes: 9 };
    assert_eq!(decode(&encode(1, &Message::SnapshotOffer { epoch, offer })), body(11));
    let mut done = encode(1, &Message::SnapshotDone { epoch, id: SnapshotId(1), is_whole: true });
    done[HEADER_BYTES + 8] = 2;
    assert_eq!(decode(&sealed(done)), body(14));
    let longer = [encode(1, &Message::Fence { epoch }), vec![0]].concat();
    assert_eq!(decode(&sealed(longer)), body(5));
}

#[test]
fn records_come_back_and_no_flipped_bit_is_believed() {
    let plain = GroupRecord::new([NodeId(4), NodeId(1), NodeId(9)]);
    let forced = Some(Forced { epoch: Epoch(6), adopted: Seq(70) });
    let led = GroupRecord { epoch: Epoch(7), phase: Phase::Active, forced, ..plain.clone() };
    for record in [plain, led] {
        let bytes = encode_record(&record);
        assert_eq!(decode_record(&bytes), Some(record));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(&flipped), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(decode_record(&bytes[..length]), None, "{length} bytes");
        }
    }
}

proptest::proptest! {
    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(proptest::num::u8::ANY, 48..200), number in 0..16_u8) {
        let mut bytes = bytes;
        bytes[..2].copy_from_slice(&MAGIC);
        (bytes[2], bytes[3]) = (VERSION, number);
        if let Ok((group, message)) = decode(&sealed(bytes.clone())) {
            let again = encode(group, &message);
            proptest::prop_assert_eq!(decode(&again), Ok((group, message)));
        }
    }
}

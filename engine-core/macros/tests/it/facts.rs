//! The derives.
#![expect(
    clippy::disallowed_types,
    reason = "what a serde attribute makes of a hash map is tested"
)]

use serde::{Deserialize, Serialize};
use steadfast::{Effect, Fact, FieldMask, Global, ReadError};
use steadfast_macros::{Effect, Fact, Global};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[fact(rename = "Sensor")]
struct SensorV1 {
    name: String,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[fact(rename = "Sensor", version = 2, from = SensorV1)]
struct SensorV2 {
    name: String,
    celsius: f64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[fact(version = 5, from = SensorV2, unique)]
struct Sensor {
    #[fact(key)]
    name: String,
    millikelvin: u64,
    #[fact(key)]
    place: (u8, char),
}

impl From<SensorV1> for SensorV2 {
    fn from(SensorV1 { name }: SensorV1) -> Self {
        Self { name, celsius: 20.0 }
    }
}

impl From<SensorV2> for Sensor {
    fn from(SensorV2 { name, celsius }: SensorV2) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "room temperature"
        )]
        let millikelvin = ((celsius + 273.15) * 1000.0) as u64;
        Self { name, millikelvin, place: (0, 'x') }
    }
}

fn sensor() -> Sensor {
    Sensor { name: "a".to_owned(), millikelvin: 293_150, place: (0, 'x') }
}

#[derive(Fact, Clone, Serialize, Deserialize)]
struct Tuple(#[fact(key)] u8, f32, Vec<u8>);

#[derive(Fact, Clone, Serialize, Deserialize)]
struct Unit;

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
enum Mode {
    Off,
    Dimmed { percent: u8 },
}

#[derive(Fact, Clone, Serialize, Deserialize)]
struct Raw {
    r#type: u8,
    #[serde(with = "sorted")]
    tags: std::collections::HashMap<u8, u8>,
}

mod sorted {
    use std::collections::{BTreeMap, HashMap};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &HashMap<u8, u8>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HashMap<u8, u8>, D::Error> {
        HashMap::deserialize(deserializer)
    }
}

#[test]
fn names_versions_and_fields_are_those_declared() {
    assert_eq!((SensorV1::NAME, SensorV1::VERSION), ("Sensor", 1));
    assert_eq!((Sensor::NAME, Sensor::VERSION), ("Sensor", 5));
    assert_eq!(Sensor::FIELDS, ["name", "millikelvin", "place"]);
    assert_eq!(Tuple::FIELDS, ["0", "1", "2"]);
    assert_eq!(Mode::FIELDS, ["value"]);
    assert_eq!(Raw::FIELDS, ["type", "tags"]);
    assert!(Unit::FIELDS.is_empty());
}

#[test]
fn differences_are_by_field() {
    let mask = |fields: &[usize]| {
        fields.iter().fold(FieldMask::NONE, |mask, at| mask.union(FieldMask::field(*at)))
    };
    let old = sensor();
    assert_eq!(old.diff(&old), FieldMask::NONE);
    let new = Sensor { name: "b".to_owned(), place: (1, 'x'), ..old.clone() };
    assert_eq!(old.diff(&new), mask(&[0, 2]));
    let tuple = Tuple(1, f32::NAN, vec![]);
    assert_eq!(tuple.diff(&tuple), mask(&[1]), "not even equal to itself");
    assert_eq!(Unit.diff(&Unit), FieldMask::NONE);
    assert_eq!(Mode::Off.diff(&Mode::Off), FieldMask::NONE);
    assert_eq!(Mode::Off.diff(&Mode::Dimmed { percent: 3 }), mask(&[0]));
}

#[test]
fn fields_beyond_the_last_bit_share_it() {
    macro_rules! wide {
        ($($field:ident)*) => {
            #[derive(Fact, Clone, Default, Serialize, Deserialize)]
            struct Wide { $($field: u8,)* }
        };
    }
    wide! {
        a0 a1 a2 a3 a4 a5 a6 a7 b0 b1 b2 b3 b4 b5 b6 b7 c0 c1 c2 c3 c4 c5 c6 c7 d0 d1 d2 d3 d4 d5 d6
        d7 e0 e1 e2 e3 e4 e5 e6 e7 f0 f1 f2 f3 f4 f5 f6 f7 g0 g1 g2 g3 g4 g5 g6 g7 h0 h1 h2 h3 h4 h5
        h6 h7 i0 i1
    }
    let old = Wide::default();
    let changed = |new: Wide| old.diff(&new);
    assert_eq!(changed(Wide { h6: 1, ..Wide::default() }), FieldMask::field(62));
    assert_eq!(changed(Wide { h7: 1, ..Wide::default() }), FieldMask::field(63));
    assert_eq!(changed(Wide { i1: 1, ..Wide::default() }), FieldMask::field(63));
}

#[test]
fn keys_are_the_key_fields() {
    const { assert!(Sensor::KEYED && Sensor::UNIQUE && Tuple::KEYED && !Tuple::UNIQUE) };
    const { assert!(!SensorV1::KEYED && !SensorV1::UNIQUE) };
    let old = sensor();
    let same = Sensor { millikelvin: 0, ..old.clone() };
    let moved = Sensor { place: (1, 'x'), ..old.clone() };
    assert!(old.same_key(&same) && !old.same_key(&moved));
    assert_eq!(old.key_code(), same.key_code());
    assert_ne!(old.key_code(), moved.key_code());
    let v1 = SensorV1 { name: "a".to_owned() };
    assert_eq!((v1.key_code(), v1.same_key(&v1)), (None, false));
    assert!(Tuple(1, 2.0, vec![]).same_key(&Tuple(1, 3.0, vec![4])));
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("serializes")
}

#[test]
fn older_versions_are_read_through_their_upcasters() {
    let v1 = bytes(&SensorV1 { name: "a".to_owned() });
    let v2 = bytes(&SensorV2 { name: "a".to_owned(), celsius: 20.0 });
    assert_eq!(Sensor::read(1, &v1), Ok(sensor()));
    assert_eq!(Sensor::read(2, &v2), Ok(sensor()));
    assert_eq!(Sensor::read(5, &bytes(&sensor())), Ok(sensor()));
}

#[test]
fn versions_and_bytes_that_do_not_fit_are_errors() {
    let (name, current) = ("Sensor", 5);
    let newer = ReadError::NewerVersion { name, found: 6, current };
    assert_eq!(Sensor::read(6, &[]), Err(newer));
    let between = ReadError::NoUpcaster { name, found: 4, current };
    assert_eq!(Sensor::read(4, &[]), Err(between));
    let missing = ReadError::NoUpcaster { name, found: 0, current: 1 };
    assert_eq!(Sensor::read(0, &[]), Err(missing));
    let malformed = Sensor::read(5, &[3, b'a']).expect_err("too short");
    assert!(matches!(malformed, ReadError::Malformed { version: 5, .. }), "{malformed}");
    let mut longer = bytes(&sensor());
    longer.push(0);
    let malformed = Sensor::read(5, &longer).expect_err("too long");
    assert!(malformed.to_string().contains("1 bytes are left over"), "{malformed}");
}

#[derive(Effect, Debug, PartialEq, Serialize, Deserialize)]
#[effect(topic = "mail", version = 3)]
struct SendMail {
    to: String,
}

#[derive(Effect, Serialize, Deserialize)]
enum Alert {
    Red,
}

#[derive(Global, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[global(rename = "limits", version = 2)]
struct Limits {
    orders_max: u32,
}

#[derive(Global, Clone, Serialize, Deserialize)]
struct Plain;

#[test]
fn effects_and_globals_have_names_and_versions() {
    assert_eq!((SendMail::TOPIC, SendMail::VERSION), ("mail", 3));
    assert_eq!((Alert::TOPIC, Alert::VERSION), ("Alert", 1));
    assert_eq!((Limits::NAME, Limits::VERSION), ("limits", 2));
    assert_eq!((Plain::NAME, Plain::VERSION), ("Plain", 1));
    let mail = SendMail { to: "a".to_owned() };
    assert_eq!(SendMail::read(3, &bytes(&mail)), Ok(mail));
    assert_eq!(bytes(&Alert::Red), [0]);
    let limits = Limits { orders_max: 7 };
    assert_eq!(Limits::read(2, &bytes(&limits)), Ok(limits));
    assert!(matches!(Limits::read(3, &[7]), Err(ReadError::NewerVersion { .. })));
}

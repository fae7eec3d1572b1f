extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use steadfast_macros::{Effect, Fact};

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(unique)]
struct UniqueWithoutKey {
    id: u64,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(versoin = 2)]
struct Unknown;

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(version = 0)]
struct Zero;

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(from = Zero)]
struct FromWithoutVersion;

#[derive(Fact, Clone, Serialize, Deserialize)]
struct KeyOnce {
    #[fact(key, key)]
    id: u64,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
enum KeyOfEnum {
    Id(#[fact(key)] u64),
}

#[derive(Fact, Clone, Serialize, Deserialize)]
struct Unordered {
    tags: HashMap<String, u64>,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
struct Generic<T> {
    value: T,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(rename = "Order@east")]
struct EntryPointInTheName;

#[derive(Effect, Serialize, Deserialize)]
#[effect(rename = "mail")]
struct NotATopic;

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(derived_key(id))]
struct DerivedKeyOfTheType {
    id: u64,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
struct DerivedKeyTwice {
    #[fact(derived_key, derived_key)]
    id: u64,
}

fn main() {}

extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Stage;
use steadfast_macros::Fact;

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

fn with_the_wrong_key(stage: &Stage<'_>) -> bool {
    stage.find::<Order>("7").is_some()
}

fn without_a_key(stage: &Stage<'_>) -> bool {
    stage.find::<Note>("text").is_some()
}

fn main() {}

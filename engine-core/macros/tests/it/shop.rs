//! The facts of a shop, for rules of all kinds.

use serde::{Deserialize, Serialize};
use steadfast_macros::Fact;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) enum Status {
    Open,
    Paid,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) id: u64,
    pub(crate) gold: bool,
    pub(crate) name: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    #[fact(key)]
    pub(crate) id: u64,
    pub(crate) customer: u64,
    pub(crate) amount: i64,
    pub(crate) status: Status,
}

impl Order {
    pub(crate) fn new(id: u64, customer: u64, amount: i64) -> Self {
        Self { id, customer, amount, status: Status::Open }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.status == Status::Open
    }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) order: u64,
    pub(crate) amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) order: u64,
    pub(crate) article: String,
    pub(crate) quantity: i64,
}

impl Line {
    pub(crate) fn new(order: u64, article: &str, quantity: i64) -> Self {
        Self { order, article: article.to_owned(), quantity }
    }
}

/// What a rule found: its name and some numbers.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Found(pub(crate) String, pub(crate) Vec<i64>);

impl Found {
    pub(crate) fn new(rule: &str, numbers: &[i64]) -> Self {
        Self(rule.to_owned(), numbers.to_vec())
    }
}

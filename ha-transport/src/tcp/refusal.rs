//! Why connections came to no link.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::ids::NodeId;

/// Why a connection came to no link.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody answers at the address, or it is none any more.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It hung up before it had said who it is; it may have its reasons, and tell them at its side.
    #[error("it hung up: {0}")]
    HungUp(String),
    /// It did not say in time who it is.
    #[error("it does not say who it is")]
    Silent,
    /// Too many others are about to say who they are.
    #[error("too many are about to say who they are")]
    Crowded,
    /// What it says is nothing that a node says: another protocol, or TLS to a node without.
    #[error("it is no node, or one that speaks TLS to one that does not")]
    NoNode,
    /// It is a node of another group.
    #[error("it is of group {0}")]
    OtherGroup(u64),
    /// Another node was dialed.
    #[error("it says that it is node {0}")]
    OtherNode(NodeId),
    /// It speaks no TLS, and this node does.
    #[error("it does not speak TLS")]
    NoTls,
    /// It shows no certificate.
    #[error("it shows no certificate")]
    NoCertificate,
    /// None of this node's authorities has signed its certificate.
    #[error("its certificate is not signed by an authority of this node's")]
    UnknownAuthority,
    /// Its certificate is over, or has not begun.
    #[error("its certificate is not valid at this time")]
    Expired,
    /// Its certificate is not for the node that it is to be.
    #[error("its certificate is not for `{0}`")]
    NotForNode(String),
    /// It did not take this node's certificate, or the way to encrypt.
    #[error("it refused this node: {0}")]
    RefusedThere(String),
    /// Something else is wrong with its certificate or its TLS.
    #[error("its TLS cannot be used: {0}")]
    Tls(String),
}

/// A connection that came to no link.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// When.
    pub at: Instant,
    /// Its other end, if it had one.
    pub address: Option<SocketAddr>,
    /// Whom this node dialed; none if it was dialed.
    pub dialed: Option<NodeId>,
    /// Why.
    pub why: Refusal,
}

/// How many of the last ones are kept.
const KEPT: usize = 32;

/// The last connections of a transport that came to no link, for whoever looks after it while a replica has it.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<(u64, VecDeque<Refused>)>>);

impl Refusals {
    /// The last of them, 32 at most, the oldest first.
    pub fn last(&self) -> Vec<Refused> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.iter().cloned().collect()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn note(&self, address: Option<SocketAddr>, dialed: Option<NodeId>, why: Refusal) {
        let refused = Refused { at: Instant::now(), address, dialed, why };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        if state.1.len() == KEPT {
            state.1.pop_front();
        }
        state.1.push_back(refused);
    }
}

//! The lease: a key that etcd deletes when nobody has asked it not to for long enough.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde_json::{Value, json};

use crate::client::Failure;
use crate::shared::{Shared, holder};

/// What the thread that holds the lease is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// The node leads.
    Hold,
    /// It does not any more; this was its lease.
    GiveBack(Option<String>),
    Stop,
}

/// Holds the lease while the node leads. A thread of its own: nothing that is slow may come between two renewals.
pub(crate) fn hold(shared: &Shared, commands: &Receiver<Command>) {
    loop {
        let pause = if shared.state().leads { shared.lease() / 4 } else { Duration::from_secs(60) };
        match commands.recv_timeout(pause) {
            Ok(Command::Hold) | Err(RecvTimeoutError::Timeout) => {
                if shared.state().leads {
                    let renewed = renew(shared);
                    shared.note(renewed.as_ref().err());
                }
            }
            Ok(Command::GiveBack(lease)) => {
                if let Some(lease) = lease {
                    // If it cannot be given back, it ends by itself.
                    revoke(shared, &lease).ok();
                }
            }
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Prolongs this node's lease or gets one, and sees to it that the key is its own, unless another node has it.
fn renew(shared: &Shared) -> Result<(), Failure> {
    let (lease, until) = own(shared)?;
    if !is_attached(shared, &lease)? {
        let mut state = shared.state();
        if state.lease.as_ref() == Some(&lease) {
            state.held_until = None;
        }
        return Ok(());
    }
    let mut state = shared.state();
    if state.leads && state.lease.as_ref() == Some(&lease) {
        state.held_until = Some(until);
    }
    Ok(())
}

/// This node's lease, prolonged, or a new one; and until when it lasts for certain, counted from when it was asked for.
pub(crate) fn own(shared: &Shared) -> Result<(String, Instant), Failure> {
    let until = |sent: Instant, seconds: u64| {
        let lasts = Duration::from_secs(seconds);
        sent + lasts.saturating_sub(shared.margin.min(lasts / 4))
    };
    let known = shared.state().lease.clone();
    if let Some(lease) = known {
        let sent = Instant::now();
        if let Some(seconds) = keep_alive(shared, &lease)? {
            return Ok((lease, until(sent, seconds)));
        }
        let mut state = shared.state();
        if state.lease.as_ref() == Some(&lease) {
            (state.lease, state.held_until) = (None, None);
        }
    }
    let sent = Instant::now();
    let body = json!({ "TTL": shared.lease().as_secs().to_string() });
    let answer = shared.client.ask("/v3/lease/grant", &body)?;
    let granted = text(&answer["ID"]).zip(number(&answer["TTL"]));
    let (lease, seconds) =
        granted.ok_or_else(|| Failure::Unknown("a lease without a number".to_owned()))?;
    shared.granted(seconds);
    let mut state = shared.state();
    if let Some(other) = state.lease.clone() {
        // Both threads wanted one; that of the other one is as good, and this one ends by itself.
        drop(state);
        return match keep_alive(shared, &other)? {
            Some(seconds) => Ok((other, until(sent, seconds))),
            None => Err(Failure::Unknown("the lease is gone again".to_owned())),
        };
    }
    state.lease = Some(lease.clone());
    Ok((lease, until(sent, seconds)))
}

/// How many seconds the lease lasts from now on, if it is still there.
fn keep_alive(shared: &Shared, lease: &str) -> Result<Option<u64>, Failure> {
    match shared.client.ask("/v3/lease/keepalive", &json!({ "ID": lease })) {
        Ok(answer) => Ok(number(&answer["result"]["TTL"]).filter(|&seconds| seconds > 0)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(crate) fn revoke(shared: &Shared, lease: &str) -> Result<(), Failure> {
    shared.client.ask("/v3/lease/revoke", &json!({ "ID": lease })).map(drop)
}

/// Whether the key hangs on this lease; it is hung there if nobody else has it.
fn is_attached(shared: &Shared, lease: &str) -> Result<bool, Failure> {
    let key = &shared.keys.lease;
    let body = json!({
        "compare": [{ "key": key, "target": "LEASE", "result": "EQUAL", "lease": lease }],
        "failure": [{ "request_range": { "key": key } }],
    });
    let answer = shared.client.ask("/v3/kv/txn", &body)?;
    if answer["succeeded"] == true {
        return Ok(true);
    }
    let there = &answer["responses"][0]["response_range"]["kvs"][0];
    if !there.is_null() && holder(there) != Some(shared.node) {
        return Ok(false);
    }
    // Nobody's, or of this node's earlier life; if nobody takes it meanwhile.
    let revision = number(&there["mod_revision"]).unwrap_or(0).to_string();
    let body = json!({
        "compare": [{ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision }],
        "success": [{ "request_put": shared.lease_put(lease) }],
    });
    Ok(shared.client.ask("/v3/kv/txn", &body)?["succeeded"] == true)
}

/// Numbers of 64 bits are texts in JSON; zeros are left out.
pub(crate) fn number(value: &Value) -> Option<u64> {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

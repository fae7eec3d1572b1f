//! What the threads of a coordinator share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use steadfast_ha_transport::{
    CoordinatorEvent, GroupRecord, NodeId, Swapped, Version, Wake, codec,
};

use crate::client::{Client, Failure};
use crate::lease::{self, number};
use crate::options::{EtcdError, EtcdOptions};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) node: NodeId,
    pub(crate) keys: Keys,
    pub(crate) margin: Duration,
    /// Of a lease: as asked for, then as granted.
    seconds: AtomicU64,
    pub(crate) stopped: AtomicBool,
    /// Whether the node asks for the record, and it is not on its way.
    pub(crate) asked: AtomicBool,
    pub(crate) wake: OnceLock<Arc<dyn Wake>>,
    state: Mutex<State>,
}

/// In base 64, as JSON wants them.
#[derive(Debug)]
pub(crate) struct Keys {
    record: String,
    pub(crate) lease: String,
    all: (String, String),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) events: VecDeque<CoordinatorEvent>,
    seen: Version,
    pub(crate) leads: bool,
    /// etcd's number of this node's last lease. It may have ended.
    pub(crate) lease: Option<String>,
    pub(crate) held_until: Option<Instant>,
    /// When it may say again that nobody has the lease.
    pub(crate) expires: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) trouble: Option<String>,
}

impl Shared {
    pub(crate) fn new(group: &str, node: NodeId, options: &EtcdOptions) -> Result<Self, EtcdError> {
        let all = format!("{}/{group}/", options.prefix);
        let encode = |key: &str| BASE64_STANDARD.encode(key);
        // The byte behind a slash: all keys that begin with what is before it.
        let end = format!("{}0", all.trim_end_matches('/'));
        let keys = Keys {
            record: encode(&format!("{all}record")),
            lease: encode(&format!("{all}lease")),
            all: (encode(&all), encode(&end)),
        };
        let seconds = options.seconds();
        Ok(Self {
            client: Client::new(options)?,
            node,
            keys,
            margin: options.margin,
            seconds: AtomicU64::new(seconds),
            stopped: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            wake: OnceLock::new(),
            state: Mutex::new(State {
                events: VecDeque::new(),
                seen: Version(0),
                leads: false,
                lease: None,
                held_until: None,
                // Who starts first has time to come up.
                expires: Instant::now() + Duration::from_secs(seconds),
                answered: None,
                trouble: None,
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::SeqCst))
    }

    /// etcd may make leases longer than they were asked for.
    pub(crate) fn granted(&self, seconds: u64) {
        self.seconds.fetch_max(seconds, Ordering::SeqCst);
    }

    fn say(&self, event: CoordinatorEvent) {
        self.state().events.push_back(event);
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake.wake();
        }
    }

    /// Keeps how talking to etcd went.
    pub(crate) fn note(&self, failure: Option<&Failure>) {
        let mut state = self.state();
        match failure {
            None => (state.answered, state.trouble) = (Some(Instant::now()), None),
            Some(failure) => state.trouble = Some(failure.to_string()),
        }
    }

    pub(crate) fn lease_put(&self, lease: &str) -> Value {
        let holder = BASE64_STANDARD.encode(self.node.0.to_string());
        json!({ "key": self.keys.lease, "value": holder, "lease": lease })
    }

    /// Looks at both keys, as of now, and says what is new; gives the revision that it saw.
    pub(crate) fn look(&self, is_asked: bool) -> Result<u64, Failure> {
        let (key, end) = &self.keys.all;
        let body = json!({ "key": key, "range_end": end });
        let looked = self.client.ask("/v3/kv/range", &body);
        self.note(looked.as_ref().err());
        let answer = looked?;
        let no_kvs = Vec::new();
        let kvs = answer["kvs"].as_array().unwrap_or(&no_kvs);
        let find = |key: &str| kvs.iter().find(|kv| kv["key"] == key);
        let record = find(&self.keys.record).map(record);
        let lease = find(&self.keys.lease);
        if let Some(None) = record {
            self.note(Some(&Failure::Unknown(NO_RECORD.to_owned())));
        }
        let mut state = self.state();
        match record.flatten() {
            Some((version, record)) if is_asked || version > state.seen => {
                state.seen = state.seen.max(version);
                state.events.push_back(CoordinatorEvent::Record(version, record));
            }
            None if is_asked && find(&self.keys.record).is_none() => {
                state.events.push_back(CoordinatorEvent::NoRecord);
            }
            Some(_) | None => {}
        }
        let is_free = lease.is_none_or(|kv| holder(kv) == Some(self.node));
        let now = Instant::now();
        let is_said = state.events.contains(&CoordinatorEvent::LeaseExpired);
        if is_free && !state.leads && now >= state.expires && !is_said {
            // Not all at once: those with lower numbers first.
            state.expires = now + self.lease() / 2 * (2 + self.node.0 % 8);
            state.events.push_back(CoordinatorEvent::LeaseExpired);
        }
        let is_news = !state.events.is_empty();
        drop(state);
        if is_news {
            self.wake();
        }
        Ok(number(&answer["header"]["revision"]).unwrap_or(0))
    }

    /// The keys as a watch from a revision on.
    pub(crate) fn watch_from(&self, revision: u64) -> Value {
        let (key, end) = &self.keys.all;
        json!({ "create_request": {
            "key": key, "range_end": end, "start_revision": revision.to_string(),
        } })
    }

    /// Swaps, and says what became of it.
    pub(crate) fn swap(&self, ticket: u64, expect: Version, record: &GroupRecord) {
        let swapped = self.swapped(expect, record);
        self.note(swapped.as_ref().err());
        // What was refused for other reasons has not happened, but there is no word for that, nor need for one: it is tried
        // again and cannot happen twice.
        let swapped = swapped.unwrap_or(Swapped::Unknown);
        self.say(CoordinatorEvent::Swapped { ticket, swapped });
    }

    fn swapped(&self, expect: Version, wanted: &GroupRecord) -> Result<Swapped, Failure> {
        let Keys { record: key, .. } = &self.keys;
        let value = BASE64_STANDARD.encode(codec::encode_record(wanted));
        let mut puts = vec![json!({ "request_put": { "key": key, "value": value } })];
        let mut held = None;
        if wanted.leader == self.node {
            let (lease, until) = lease::own(self)?;
            puts.push(json!({ "request_put": self.lease_put(&lease) }));
            held = Some((lease, until));
        }
        let version = expect.0.to_string();
        // The revision of a key that is not there is 0.
        let answer = self.client.tell(
            "/v3/kv/txn",
            &json!({
                "compare": [{
                    "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": version,
                }],
                "success": puts,
                "failure": [{ "request_range": { "key": key } }],
            }),
        )?;
        if answer["succeeded"] == true {
            let done = number(&answer["header"]["revision"]).map(Version);
            let done = done.ok_or_else(|| Failure::Unknown("a swap of no revision".to_owned()))?;
            let mut state = self.state();
            state.seen = state.seen.max(done);
            if let Some((lease, until)) = held
                && state.lease == Some(lease)
            {
                state.held_until = Some(until);
            }
            return Ok(Swapped::Done(done));
        }
        match answer["responses"][0]["response_range"]["kvs"].get(0).map(record) {
            Some(Some((version, record))) => Ok(Swapped::Conflict(version, record)),
            Some(None) => Err(Failure::Unknown(NO_RECORD.to_owned())),
            // It was expected to be there and is not.
            None => Err(Failure::Unknown("the group has no record any more".to_owned())),
        }
    }
}

const NO_RECORD: &str = "what is under the group's key is no record of this version";

fn value(kv: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(kv["value"].as_str().unwrap_or_default()).ok()
}

/// Who has the lease, by the key's value.
pub(crate) fn holder(kv: &Value) -> Option<NodeId> {
    let text = String::from_utf8(value(kv)?).ok()?;
    text.parse().ok().map(NodeId)
}

fn record(kv: &Value) -> Option<(Version, GroupRecord)> {
    Some((Version(number(&kv["mod_revision"])?), codec::decode_record(&value(kv)?)?))
}

//! How much is under way between two nodes whose disks and network take no time, and whose clocks stand still.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_ha_transport::{
    Effect, GroupRecord, Input, Message, Node, NodeId, Options, Policy, ProposeError, Seq, Stored,
    Swapped, Version,
};

const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];

/// A leader, the first one, and a follower.
struct Pair {
    nodes: [Node; 2],
    log: Vec<steadfast_ha_transport::Batch>,
    /// What is on its way, to whom.
    net: VecDeque<(usize, Message)>,
    version: Version,
    /// Batches that were sent to the follower, and their bytes.
    sent: Vec<usize>,
    /// The most batches that were on their way at once.
    most: usize,
}

impl Pair {
    fn new(policy: Policy, window: u64, window_bytes: usize) -> Self {
        let mut options = Options::default();
        (options.policy, options.window) = (policy, window);
        options.window_bytes = window_bytes;
        let node = |id| Node::new(id, options.clone(), Stored::default());
        let nodes = NODES.map(node);
        let (log, net, version) = (Vec::new(), VecDeque::new(), Version(1));
        let mut pair = Self { nodes, log, net, version, sent: Vec::new(), most: 0 };
        let record = GroupRecord::new(NODES);
        pair.step(1, Input::Record(Version(1), record.clone()));
        pair.step(0, Input::Record(Version(1), record));
        pair.deliver();
        assert!(pair.nodes[0].leads());
        pair.sent.clear();
        pair
    }

    fn step(&mut self, at: usize, input: Input) {
        let mut effects = Vec::new();
        self.nodes[at].step(Duration::ZERO, input, &mut effects);
        self.perform(at, effects);
    }

    fn propose(&mut self, bytes: usize) -> Result<Seq, ProposeError> {
        let mut effects = Vec::new();
        let proposed = self.nodes[0].propose(Duration::ZERO, vec![7; bytes].into(), &mut effects);
        self.perform(0, effects);
        proposed
    }

    fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    if let Message::Prepare { batch, .. } = &message {
                        self.sent.push(batch.payload.len());
                    }
                    self.net.push_back((usize::from(to == NODES[1]), message));
                    let is_batch = |it: &&(usize, Message)| matches!(it.1, Message::Prepare { .. });
                    self.most = self.most.max(self.net.iter().filter(is_batch).count());
                }
                Effect::Append(batch) => {
                    let (seq, chain) = (batch.seq, batch.chain());
                    if at == 0 {
                        self.log.push(batch);
                    }
                    self.step(at, Input::Durable { seq, chain });
                }
                Effect::Read { to, from, most } => {
                    let first = usize::try_from(from.0 - 1).expect("small");
                    let most = usize::try_from(most).expect("small");
                    let batches = self.log[first..].iter().take(most).cloned().collect();
                    self.step(at, Input::Read { to, batches });
                }
                Effect::Swap { ticket, expect, .. } => {
                    assert_eq!(expect, self.version);
                    self.version = Version(self.version.0 + 1);
                    let swapped = Swapped::Done(self.version);
                    self.step(at, Input::Swapped { ticket, swapped });
                }
                _ => {}
            }
        }
    }

    /// Lets everything arrive.
    fn deliver(&mut self) {
        while let Some((to, message)) = self.net.pop_front() {
            self.step(to, Input::Message { from: NODES[1 - to], message });
        }
    }
}

#[test]
fn a_stream_goes_on_as_soon_as_something_is_acknowledged() {
    let mut pair = Pair::new(Policy::All, 4, 1000);
    for round in 0..20 {
        let taken = (0..10).take_while(|_| pair.propose(10).is_ok()).count();
        assert_eq!((taken, pair.sent.len()), (4, 4), "round {round}");
        pair.deliver();
        pair.sent.clear();
    }
    assert_eq!(pair.nodes[1].committed(), Seq(81));
}

#[test]
fn bytes_fill_a_window_as_well() {
    let mut pair = Pair::new(Policy::All, 100, 1000);
    for _ in 0..5 {
        let taken = [400, 400, 400, 400].map(|bytes| pair.propose(bytes).is_ok());
        assert_eq!(taken, [true, true, true, false], "there is room until it is full");
        assert_eq!(pair.propose(0), Err(ProposeError::WindowFull { waiting: 3 }));
        pair.deliver();
    }
    assert!(pair.propose(5000).is_ok(), "a long one goes alone");
    assert!(pair.propose(0).is_err());
    pair.deliver();
    assert_eq!(pair.nodes[1].committed(), Seq(17));
}

#[test]
fn a_follower_that_is_behind_is_sent_no_more_than_a_window() {
    let mut pair = Pair::new(Policy::Async, 100, 1000);
    for _ in 0..50 {
        pair.propose(300).expect("nobody is waited for");
    }
    assert_eq!(pair.nodes[0].committed(), Seq(51));
    assert_eq!(pair.sent.len(), 4, "{:?}", pair.sent);
    pair.deliver();
    assert_eq!((pair.sent.len(), pair.nodes[1].last(), pair.most), (50, Seq(51), 4));
    // By batches, too.
    let mut pair = Pair::new(Policy::Async, 6, 1 << 20);
    for _ in 0..50 {
        pair.propose(300).expect("nobody is waited for");
    }
    assert_eq!(pair.sent.len(), 6);
    pair.deliver();
    assert_eq!((pair.nodes[1].last(), pair.most), (Seq(51), 6));
}

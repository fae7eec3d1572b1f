//! Several processes that keep one session: whoever leads works, and is killed; another one goes on.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use steadfast::ha::{LocalCoordinator, NodeId, Policy, TcpOptions, TcpTransport};
use steadfast::prelude::*;
use steadfast::{Error, Replicated};

use crate::control::{Control, Message, Place};
use crate::data::Data;
use crate::failure::{Failure, Result};
use crate::options::Options;
use crate::report::Outcome;
use crate::rules::flight_ops;
use crate::supervisor::{Kills, exit_with_parent};

/// Any number that no other group on this machine has among the same addresses.
const GROUP: u64 = 1;
/// How long a leader that is gone is waited for.
const LEASE: Duration = Duration::from_millis(500);
/// How often a node looks whether it has to lead.
const LOOK: Duration = Duration::from_secs(3600);

/// One node of the group: its number, from 1, and the addresses of all.
#[derive(Clone, Debug)]
pub struct Member {
    pub node: u32,
    pub addresses: Vec<String>,
}

impl Member {
    fn start(&self, place: &Place) -> Result<Replicated> {
        let (id, dir) = (NodeId(self.node), &place.session);
        let address = |node: NodeId| &self.addresses[node.0 as usize - 1];
        let io = |source| Failure::Io { verb: "make the directory", path: dir.clone(), source };
        let coordinator =
            LocalCoordinator::in_directory(dir.join("group"), id, LEASE).map_err(io)?;
        let transport = TcpTransport::bind(id, address(id), TcpOptions::new(GROUP))
            .map_err(|source| Failure::Transport { address: address(id).clone(), source })?;
        // With a majority the work goes on while one is gone.
        let own = dir.join(format!("node-{id}"));
        let mut node = Session::replicated(own, GROUP, id).ack(Policy::Majority);
        for peer in (1..).map(NodeId).take(self.addresses.len()).filter(|&peer| peer != id) {
            node = node.peer(peer, address(peer));
        }
        Ok(node.start(flight_ops(), transport, coordinator)?)
    }
}

/// A node's side of [`run`]: follows, and works whenever it leads.
pub fn work(options: &Options, member: &Member) -> Result<()> {
    exit_with_parent();
    let data = Data::read(&options.data())?;
    let session =
        options.session().ok_or_else(|| Failure::Usage("a worker needs --session".to_owned()))?;
    let place = Place { session, alerts: options.alerts.clone() };
    let node = member.start(&place)?;
    loop {
        let Some(session) = node.lead(LOOK)? else { continue };
        let control = Control::lead(&data, &place, session);
        let worked = control.and_then(|control| {
            control.run(&mut |message| {
                let line = serde_json::to_string(&message).expect("a message is plain data");
                writeln!(io::stdout(), "{line}").map_err(Failure::Output)
            })
        });
        match worked {
            // Another one goes on, and this one follows it.
            Err(Failure::Session(Error::Deposed | Error::Uncertain { .. })) => {}
            ended => return ended,
        }
    }
}

/// What a child says: which one, in which of its lives, and a message; none at its end.
type Said = (usize, u64, Option<Message>);

/// Runs in several child processes, of which the one that leads is killed as often as was asked for.
pub fn run(options: &Options, place: &Place, outcome: &mut Outcome) -> Result<()> {
    let mut group = Group::start(options, place)?;
    let mut kills = Kills::new(options);
    // Who was killed and when, until another one leads; then it comes back.
    let mut missed: Option<(usize, Instant)> = None;
    let mut finished = false;
    let (mut ready, mut steps) = (Instant::now(), 0);
    while let Ok((at, life, said)) = group.said.recv() {
        if group.children[at].1 != life {
            continue; // Killed meanwhile.
        }
        let Some(mut message) = said else {
            let status = group.children[at].0.wait();
            let status = status.map_err(|source| Failure::Child { verb: "await", source })?;
            return if finished { Ok(()) } else { Err(Failure::ChildFailed { status }) };
        };
        let mut due = false;
        match &mut message {
            Message::Ready { recovery, done, total, .. } => {
                if let Some((killed, since)) = missed.take() {
                    *recovery = Some(since.elapsed());
                    group.restart(killed)?;
                }
                (ready, steps) = (Instant::now(), 0);
                kills.plan(*done, *total);
            }
            Message::Step { done, .. } => {
                steps += 1;
                due = kills.is_due(*done);
            }
            Message::Finished(_) => finished = true,
        }
        outcome.take(message);
        if due {
            // It goes on meanwhile, for two steps or so.
            thread::sleep(kills.moment(ready.elapsed() / steps));
            group.kill(at)?;
            missed = Some((at, Instant::now()));
            outcome.crashed();
        }
    }
    Ok(())
}

struct Group {
    addresses: Vec<String>,
    place: Place,
    /// Each child, and which of its lives it is, from 1.
    children: Vec<(Child, u64)>,
    lives: u64,
    said: Receiver<Said>,
    say: Sender<Said>,
}

impl Group {
    fn start(options: &Options, place: &Place) -> Result<Self> {
        let io = |source| Failure::Child { verb: "find addresses for", source };
        let listeners = (0..options.nodes).map(|_| TcpListener::bind("127.0.0.1:0"));
        let listeners = listeners.collect::<io::Result<Vec<_>>>().map_err(io)?;
        let address = |it: &TcpListener| Ok(it.local_addr()?.to_string());
        let addresses =
            listeners.iter().map(address).collect::<io::Result<Vec<_>>>().map_err(io)?;
        drop(listeners);
        let (say, said) = channel();
        let (place, children, lives) = (place.clone(), Vec::new(), 0);
        let mut group = Self { addresses, place, children, lives, said, say };
        for at in 0..options.nodes {
            let child = group.spawn(at)?;
            group.children.push(child);
        }
        Ok(group)
    }

    fn spawn(&mut self, at: usize) -> Result<(Child, u64)> {
        let io = |source| Failure::Child { verb: "start", source };
        self.lives += 1;
        let life = self.lives;
        let mut command = Command::new(std::env::current_exe().map_err(io)?);
        // The same options; what comes later counts.
        command.args(std::env::args_os().skip(1)).arg("--worker");
        command.arg("--session").arg(&self.place.session);
        command.args(["--node", &(at + 1).to_string(), "--addresses", &self.addresses.join(",")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(io)?;
        let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let say = self.say.clone();
        thread::spawn(move || {
            // The last line may be cut short by a kill.
            let messages = lines.map_while(|line| serde_json::from_str(&line.ok()?).ok());
            for message in messages.map(Some).chain([None]) {
                if say.send((at, life, message)).is_err() {
                    return; // Nobody listens any more.
                }
            }
        });
        Ok((child, life))
    }

    fn kill(&mut self, at: usize) -> Result<()> {
        let (child, life) = &mut self.children[at];
        *life = 0; // Nobody listens to it any more.
        // SIGKILL: the child has no say in it.
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(drop).map_err(|source| Failure::Child { verb: "kill", source })
    }

    /// Starts one that was killed: it follows whoever leads now.
    fn restart(&mut self, at: usize) -> Result<()> {
        self.children[at] = self.spawn(at)?;
        Ok(())
    }
}

/// Leaves no child behind.
impl Drop for Group {
    fn drop(&mut self) {
        for (child, _) in &mut self.children {
            let _gone = child.kill().and_then(|()| child.wait());
        }
    }
}

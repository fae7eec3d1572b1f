//! Runs the control: in this process, or in child processes that get killed in the middle of it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::control::{Control, Message, Place};
use crate::data::Data;
use crate::failure::{Failure, Result};
use crate::options::Options;
use crate::report::Outcome;

/// The last kill comes before this part of the way, in percent: there is to be something left to do.
const KILLS_END_PERCENT: u64 = 95;

/// Runs without kills.
pub fn run_here(options: &Options, place: &Place, outcome: &mut Outcome) -> Result<()> {
    let data = Data::read(&options.data())?;
    let control = Control::open(&data, place, options.sync)?;
    control.run(&mut |message| {
        outcome.take(message);
        Ok(())
    })
}

/// The child's side of [`run_killed`]: tells the parent how it gets on.
pub fn work(options: &Options) -> Result<()> {
    exit_with_parent();
    let data = Data::read(&options.data())?;
    let session =
        options.session().ok_or_else(|| Failure::Usage("a worker needs --session".to_owned()))?;
    let place = Place { session, alerts: options.alerts.clone() };
    let control = Control::open(&data, &place, options.sync)?;
    control.run(&mut |message| {
        let line = serde_json::to_string(&message).expect("a message is plain data");
        writeln!(io::stdout(), "{line}").map_err(Failure::Output)
    })
}

/// If the parent is killed, its pipe to this process ends. Its child must not go on then: who runs the
/// command again would find the session held.
pub fn exit_with_parent() {
    thread::spawn(|| {
        let _end = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(2);
    });
}

/// Runs in a child process that is killed as often as was asked for and started again.
pub fn run_killed(options: &Options, place: &Place, outcome: &mut Outcome) -> Result<()> {
    let mut kills = Kills::new(options);
    loop {
        let mut life = Life::start(place)?;
        if life.watch(&mut kills, outcome)? {
            return Ok(());
        }
        outcome.crashed();
    }
}

/// When to kill: at so many steps done, and a random moment later.
pub struct Kills {
    rng: Rng,
    left: usize,
    /// Steps, the last first; made once it is known how many there are to do.
    plan: Option<Vec<u64>>,
}

impl Kills {
    pub fn new(options: &Options) -> Self {
        Self { rng: Rng::with_seed(options.seed), left: options.kills, plan: None }
    }

    /// How long after a step that is due, given how long a step takes: within the next two of them or so.
    pub fn moment(&mut self, step: Duration) -> Duration {
        step.mul_f64(2.0 * self.rng.f64())
    }

    pub fn plan(&mut self, done: u64, total: u64) {
        let Self { rng, left, plan } = self;
        plan.get_or_insert_with(|| {
            let end = done.max(total * KILLS_END_PERCENT / 100);
            let mut plan: Vec<u64> = (0..*left).map(|_| rng.u64(done..=end)).collect();
            plan.sort_unstable_by(|a, b| b.cmp(a));
            plan
        });
    }

    /// Whether this step is one after which to kill.
    pub fn is_due(&mut self, done: u64) -> bool {
        let due = |plan: &mut Vec<u64>| plan.pop_if(|at| *at <= done);
        self.plan.as_mut().and_then(due).is_some()
    }
}

/// A child process.
struct Life {
    child: Child,
    messages: BufReader<ChildStdout>,
    ready: Instant,
    steps: u32,
}

impl Life {
    fn start(place: &Place) -> Result<Self> {
        let io = |source| Failure::Child { verb: "start", source };
        let mut command = Command::new(std::env::current_exe().map_err(io)?);
        // The same options; what comes later counts.
        command.args(std::env::args_os().skip(1)).arg("--worker");
        command.arg("--session").arg(&place.session);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(io)?;
        let stdout = child.stdout.take().expect("it was asked for");
        let messages = BufReader::new(stdout);
        Ok(Self { child, messages, ready: Instant::now(), steps: 0 })
    }

    /// Follows the child to its end; says whether it finished the work.
    fn watch(&mut self, kills: &mut Kills, outcome: &mut Outcome) -> Result<bool> {
        let mut killed = false;
        let mut finished = false;
        let mut line = String::new();
        while self.read(&mut line)? {
            let Ok(message) = serde_json::from_str(&line) else {
                continue; // The last line, which a kill has cut short.
            };
            match &message {
                Message::Ready { done, total, .. } => {
                    self.ready = Instant::now();
                    kills.plan(*done, *total);
                }
                Message::Step { done, .. } if !killed => {
                    self.steps += 1;
                    if kills.is_due(*done) {
                        self.kill(kills)?;
                        killed = true;
                    }
                }
                Message::Step { .. } => {}
                Message::Finished(_) => finished = true,
            }
            outcome.take(message);
        }
        let status =
            self.child.wait().map_err(|source| Failure::Child { verb: "await", source })?;
        match (status.success(), killed) {
            (true, _) if finished => Ok(true),
            (false, true) => Ok(false),
            _ => Err(Failure::ChildFailed { status }),
        }
    }

    fn read(&mut self, line: &mut String) -> Result<bool> {
        line.clear();
        let read = self.messages.read_line(line);
        Ok(read.map_err(|source| Failure::Child { verb: "read from", source })? > 0)
    }

    /// Kills the child, which goes on meanwhile.
    fn kill(&mut self, kills: &mut Kills) -> Result<()> {
        thread::sleep(kills.moment(self.ready.elapsed() / self.steps.max(1)));
        // SIGKILL: the child has no say in it.
        self.child.kill().map_err(|source| Failure::Child { verb: "kill", source })
    }
}

/// Leaves no child behind if its parent stops over an error.
impl Drop for Life {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

//! Members of etcd, as processes of the tests.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use steadfast_ha_etcd::{EtcdCoordinator, EtcdOptions};
use steadfast_ha_transport::NodeId;

/// How long etcd may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where etcd's program is.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("STEADFAST_ETCD") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "STEADFAST_ETCD is {}, and that is no program", path.display());
        return Some(path);
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|dir| dir.join("etcd")).find(|path| path.is_file())
}

/// One member or several, each with a directory and ports of its own. They are gone when this is, also after a panic.
pub(crate) struct Etcd {
    program: PathBuf,
    dir: tempfile::TempDir,
    /// The ports for clients and for other members.
    ports: Vec<(u16, u16)>,
    members: Vec<Option<Child>>,
    more: Vec<String>,
    scheme: &'static str,
}

impl Etcd {
    /// So many, not started yet, or none if there is no program.
    pub(crate) fn find(count: usize) -> Option<Self> {
        let Some(program) = program() else {
            #[expect(clippy::print_stderr, reason = "who skips a test says so")]
            {
                eprintln!("skipped: there is no etcd; `cargo xtask ci servers` brings one");
            }
            return None;
        };
        let ports = (0..count).map(|_| (free_port(), free_port())).collect();
        let (dir, members) = (tempfile::tempdir().expect("a directory"), Vec::new());
        let mut etcd = Self { program, dir, ports, members, more: Vec::new(), scheme: "http" };
        etcd.members.resize_with(count, || None);
        Some(etcd)
    }

    /// So many, that answer.
    pub(crate) fn start(count: usize) -> Option<Self> {
        let mut etcd = Self::find(count)?;
        (0..count).for_each(|at| etcd.run(at));
        etcd.until_it_answers();
        Some(etcd)
    }

    /// With TLS towards clients.
    pub(crate) fn secured(&mut self, more: Vec<String>) {
        (self.scheme, self.more) = ("https", more);
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn endpoint(&self, at: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.ports[at].0)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.ports.len()).map(|at| self.endpoint(at)).collect()
    }

    /// Starts a member, with what it had before.
    pub(crate) fn run(&mut self, at: usize) {
        // What is killed with its parent leaves nothing behind, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
        let peer = |at: usize| format!("http://127.0.0.1:{}", self.ports[at].1);
        let all: Vec<_> = (0..self.ports.len()).map(|at| format!("m{at}={}", peer(at))).collect();
        let flag = |command: &mut Command, name: &str, value: &str| {
            command.arg(format!("--{name}")).arg(value);
        };
        flag(&mut command, "name", &format!("m{at}"));
        command.arg("--data-dir").arg(self.dir.path().join(format!("m{at}")));
        flag(&mut command, "listen-client-urls", &self.endpoint(at));
        flag(&mut command, "advertise-client-urls", &self.endpoint(at));
        flag(&mut command, "listen-peer-urls", &peer(at));
        flag(&mut command, "initial-advertise-peer-urls", &peer(at));
        flag(&mut command, "initial-cluster", &all.join(","));
        // Shorter than by default, for shorter leases; what is tested is the same.
        flag(&mut command, "heartbeat-interval", "60");
        flag(&mut command, "election-timeout", "600");
        command.args(&self.more);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("m{at}.log")))
            .expect("its own directory");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.members[at] = Some(command.spawn().expect("setpriv of util-linux runs etcd"));
    }

    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(mut member) = self.members[at].take() {
            member.kill().expect("it is ours");
            member.wait().expect("it is ours");
        }
    }

    pub(crate) fn signal(&self, at: usize, name: &str) {
        let Some(member) = &self.members[at] else { return };
        let sent = Command::new("kill").args([name, &member.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    #[track_caller]
    pub(crate) fn until_it_answers(&self) {
        let options = self.options(Duration::from_secs(2));
        let probe = EtcdCoordinator::new("probe", NodeId(1), &options).expect("loopback");
        let mut probe: Box<dyn steadfast_ha_transport::Coordinator> = Box::new(probe);
        probe.start(std::sync::Arc::new(Nobody));
        probe.read();
        self.wait("etcd answers", || probe.poll().is_some());
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            let log = || std::fs::read_to_string(self.dir.path().join("m0.log"));
            assert!(Instant::now() < end, "{what}: never\n{}", log().unwrap_or_default());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn options(&self, lease: Duration) -> EtcdOptions {
        let mut options = EtcdOptions::new(self.endpoints());
        options.lease = lease;
        options
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|at| self.kill(at));
    }
}

/// Whoever polls anyway.
pub(crate) struct Nobody;

impl steadfast_ha_transport::Wake for Nobody {
    fn wake(&self) {}
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("bound").port()
}

//! The program, the directories it works in, and what it leaves there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const DIGEST: &str = "1871cb93eba6dc8d1101b53981b5dbbd72eb6314e5289d425ffbec19e9989b3d";

/// A directory with a session and an alerts file, and the command that works on them.
pub(crate) struct World {
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn session(&self) -> PathBuf {
        self.dir.path().join("session")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.session().join("journal")
    }

    pub(crate) fn alerts_path(&self) -> PathBuf {
        self.dir.path().join("alerts.csv")
    }

    /// The program on this world's session, without kills of its own unless `options` say otherwise.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = program();
        command.args(["--kills", "0", "--json", "--sync", "process"]);
        command.arg("--session").arg(self.session());
        command.arg("--alerts").arg(self.alerts_path());
        command.args(options);
        command
    }

    pub(crate) fn start(&self, options: &[&str]) -> Child {
        let mut command = self.command(options);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    }

    /// Runs to the end, which must be a good one.
    pub(crate) fn run(&self, options: &[&str]) -> Value {
        let output = output(&mut self.command(options));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
    }

    /// Runs to a bad end; gives the exit code and what was said about it.
    pub(crate) fn refused(&self, options: &[&str]) -> (i32, String) {
        let output = output(&mut self.command(options));
        assert!(output.stdout.is_empty(), "errors are not for stdout");
        (output.status.code().expect("an exit code"), stderr(&output))
    }

    /// Runs to the end of a small set of data.
    pub(crate) fn run_tiny(&self, options: &[&str]) -> Value {
        let data = self.tiny_data();
        let data = ["--data", data.to_str().expect("a plain path")];
        self.run(&[&data, options].concat())
    }

    pub(crate) fn alerts(&self) -> Alerts {
        Alerts::read(&self.alerts_path())
    }

    /// Data of a day with two flights of one aircraft, the second late after the first.
    pub(crate) fn tiny_data(&self) -> PathBuf {
        let dir = self.dir.path().join("data");
        fs::create_dir_all(&dir).expect("a directory");
        for (name, text) in [("flights", FLIGHTS), ("weather", WEATHER), ("planes", PLANES)] {
            fs::write(dir.join(format!("{name}.csv")), text).expect("written");
        }
        dir
    }
}

pub(crate) const FLIGHTS: &str = "\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_delay,carrier,tailnum,origin,dest,hour,minute
2013,2,1,517,515,2,31,UA,N14228,EWR,IAH,5,15
2013,2,1,1200,1145,15,NA,UA,N14228,IAH,EWR,11,45
2013,2,1,NA,1150,NA,NA,UA,NA,LGA,IAH,11,50
";
const WEATHER: &str = "\
origin,year,month,day,hour,wind_speed,visib
EWR,2013,2,1,5,NA,10
EWR,2013,2,1,11,31.5,NA
";
const PLANES: &str = "tailnum,seats\nN14228,149\n";

/// January's alerts of an uninterrupted run.
pub(crate) fn calm_alerts() -> &'static [String] {
    static LINES: OnceLock<Vec<String>> = OnceLock::new();
    LINES.get_or_init(|| {
        let world = World::new();
        world.run(&[]);
        world.alerts().lines
    })
}

/// The example, which every plain `cargo test` builds beside its tests.
pub(crate) fn program() -> Command {
    let test = std::env::current_exe().expect("the path of this test");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = target.join("examples").join(format!("flight_ops{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "`cargo test` builds {}; for this test alone run `cargo build --example flight_ops` first",
        path.display()
    );
    Command::new(path)
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The content of an alerts file.
#[derive(Debug)]
pub(crate) struct Alerts {
    /// Alerts after dropping repeated keys, sorted.
    pub(crate) lines: Vec<String>,
    /// How many lines had a key that stood there already.
    pub(crate) repeated: usize,
}

impl Alerts {
    /// Reads whole lines; a repeated key carries the line that it carried before.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("the alerts file");
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut short");
        let mut alerts = BTreeMap::new();
        for line in text.lines() {
            let (key, alert) = line.split_once(',').expect("KEY,ALERT");
            let first = *alerts.entry(key).or_insert(alert);
            assert_eq!(first, alert, "under the key {key}");
        }
        let repeated = text.lines().count() - alerts.len();
        let mut lines: Vec<String> = alerts.into_values().map(str::to_owned).collect();
        lines.sort_unstable();
        Self { lines, repeated }
    }
}

/// All files below a directory with their lengths and checksums, but the one with the holder's pid.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, (usize, u32)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.file_name() != Some("LOCK".as_ref()) {
            let bytes = fs::read(&path).expect("a file");
            files.insert(path, (bytes.len(), crc32c::crc32c(&bytes)));
        }
    }
    files
}

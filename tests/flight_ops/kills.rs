//! Kills from outside, at random moments: the same command again finishes the work.

use std::fs::{self, OpenOptions};
use std::hint;
use std::io::Write as _;
use std::path::Path;
use std::process::Child;
use std::thread;

use fastrand::Rng;

use crate::world::{DIGEST, World, calm_alerts};

/// Kills come before the alerts file is this long; January's ends with 36,000 bytes.
const BYTES_MAX: u64 = 30_000;

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// Kills a run once its alerts file is so long, and a moment later; at once if it is that already.
fn kill_at(bytes: u64, mut child: Child, alerts: &Path, rng: &mut Rng) {
    while len(alerts) < bytes {
        let ended = child.try_wait().expect("waited");
        assert_eq!(ended, None, "before {bytes} bytes of alerts");
        thread::yield_now();
    }
    // Somewhere in the next firings, commits and deliveries, or in the next start.
    for _ in 0..rng.u32(0..20_000) {
        hint::spin_loop();
    }
    child.kill().expect("killed");
    let status = child.wait().expect("waited");
    assert!(!status.success(), "it had finished");
}

/// Runs and kills so many times, then runs to the end.
fn run_killed(world: &World, options: &[&str], kills: usize, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut moments: Vec<u64> = (0..kills).map(|_| rng.u64(0..BYTES_MAX)).collect();
    // Before there is a session, while it is being made, and twice at the same place.
    moments.extend([0, 0, moments[0]]);
    moments.sort_unstable();
    for bytes in moments {
        kill_at(bytes, world.start(options), &world.alerts_path(), &mut rng);
    }
    assert_eq!(world.run(options)["digest"], DIGEST);
}

#[test]
fn killed_at_random_moments_run_ends_like_an_uninterrupted_one() {
    for (seed, kills) in [(1, 8), (2, 12)] {
        let world = World::new();
        run_killed(&world, &[], kills, seed);
        let alerts = world.alerts();
        assert_eq!(alerts.lines, calm_alerts(), "seed {seed}");
        assert!(alerts.repeated <= kills + 3, "only the delivery in flight");
    }
}

/// The child of a killed parent must not hold the session against the next run.
#[test]
fn killed_while_it_kills_itself_run_ends_like_an_uninterrupted_one() {
    let world = World::new();
    run_killed(&world, &["--kills", "3"], 4, 3);
    assert_eq!(world.alerts().lines, calm_alerts());
}

/// Three processes keep the session; the one that leads is killed, and another one goes on.
#[test]
fn run_of_several_nodes_ends_like_one_whose_leader_nobody_kills() {
    for (kills, seed) in [("2", "5"), ("0", "6")] {
        let world = World::new();
        let told = world.run(&["--nodes", "3", "--kills", kills, "--seed", seed]);
        assert_eq!(told["digest"], DIGEST);
        assert_eq!(told["recoveries"].to_string(), kills);
        let alerts = world.alerts();
        assert_eq!(alerts.lines, calm_alerts());
        assert!(alerts.repeated <= 2, "only the delivery in flight");
    }
}

/// A power cut, or a kill between two pages, leaves a part of a line. Its effect was never
/// acknowledged, so what is there of it is cut off and it comes again.
#[test]
fn torn_last_line_of_the_alerts_is_cut_off() {
    let world = World::new();
    world.run(&[]);
    let whole = fs::read(world.alerts_path()).expect("the alerts");
    let last = whole.split(|&byte| byte == b'\n').nth(17).expect("a line");
    for torn in [&last[..1], &last[..last.len() / 2], last, &[0; 50]] {
        let mut file = OpenOptions::new().append(true).open(world.alerts_path()).expect("open");
        file.write_all(torn).expect("written");
        drop(file);
        assert_eq!(world.run(&[])["digest"], DIGEST);
        assert_eq!(fs::read(world.alerts_path()).expect("the alerts"), whole);
    }
}

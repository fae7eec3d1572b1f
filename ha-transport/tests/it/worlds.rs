use steadfast_ha_transport::testing::{Fault, World, WorldOptions};
use steadfast_ha_transport::{Planted, Policy};

/// How many seeds: more where `STEADFAST_SOAK` is set, or as many as `STEADFAST_SEEDS` says.
fn seeds(few: u64) -> u64 {
    let named = std::env::var("STEADFAST_SEEDS").ok().and_then(|it| it.parse().ok());
    let soak = std::env::var_os("STEADFAST_SOAK").is_some();
    named.unwrap_or(if soak { few * 100 } else { few })
}

fn options(nodes: u32, members: u32, policy: Policy) -> WorldOptions {
    WorldOptions {
        nodes,
        members,
        policy,
        steps: 600,
        crashes: true,
        changes: true,
        snapshots: true,
        planted: None,
    }
}

#[track_caller]
fn check(options: &WorldOptions, few: u64) {
    let (mut later, mut cuts, mut snapshots) = (0, 0, [0; 5]);
    for seed in 0..seeds(few) {
        // Some last longer, so that there is more to snapshot, to trim and to miss.
        let steps = options.steps * if seed % 4 == 3 { 6 } else { 1 };
        let mut world = World::new(seed, WorldOptions { steps, ..options.clone() });
        let outcome = world.run();
        assert_eq!(outcome, Ok(()), "seed {seed} of {options:?}\n{}", world.glance());
        later += world.seen().0;
        cuts += world.seen().1;
        snapshots.iter_mut().zip(world.snapshots_seen()).for_each(|(sum, seen)| *sum += seen);
    }
    assert!(later > few && cuts > 0, "nothing happened: {later} later commits, {cuts} cuts");
    let all = snapshots.iter().all(|&it| it > 0);
    assert!(all, "taken, trimmed, taken over, resumed, found damaged: {snapshots:?}");
}

#[test]
fn three_members_that_all_must_have_it() {
    check(&options(3, 3, Policy::All), 2000);
}

// INV-78
#[test]
fn a_majority_of_three() {
    check(&options(3, 3, Policy::Majority), 2000);
}

#[test]
fn one_of_three() {
    check(&options(3, 3, Policy::SemiSync(1)), 2000);
}

#[test]
fn a_majority_of_five() {
    check(&options(5, 5, Policy::Majority), 1500);
}

#[test]
fn two_members_and_a_guest() {
    check(&options(3, 2, Policy::All), 2000);
}

#[test]
fn nobody_but_the_leader_must_have_it() {
    check(&options(2, 2, Policy::Async), 1500);
}

#[test]
fn the_same_seed_is_the_same_history() {
    let run = |seed| {
        let mut world = World::new(seed, options(3, 3, Policy::Majority));
        world.run().expect("it goes well");
        format!("{world:?}")
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// The bug must be found, with one of the policies, in some world: that of a seed which found it once, or another one.
#[track_caller]
fn find(planted: Planted, policies: &[(Policy, u32)], known: u64, snapshots: bool) {
    for seed in std::iter::once(known).chain(0..200_000) {
        for &(policy, nodes) in policies {
            let steps = if snapshots { 3600 } else { 600 };
            let planted = Some(planted);
            let options =
                WorldOptions { planted, snapshots, steps, ..options(nodes, nodes, policy) };
            match World::new(seed, options).run() {
                Ok(()) | Err(Fault::Stuck) => {}
                Err(_) => return,
            }
        }
    }
    panic!("{planted:?} is not found");
}

macro_rules! found {
    ($snapshots:literal; $($name:ident: $bug:ident, $policies:expr, $known:literal;)+) => {
        $(
            #[test]
            fn $name() {
                find(Planted::$bug, &$policies, $known, $snapshots);
            }
        )+
    };
}

found! {
    false;
    a_leader_without_promises_is_found: LeadsWithoutPromises, [(Policy::Majority, 3)], 1;
    an_early_acknowledgement_is_found: AcknowledgesBeforeSync, [(Policy::All, 3), (Policy::Majority, 3)], 93;
    an_acknowledgement_of_ones_own_length_is_found: AcknowledgesOwnLength, [(Policy::Majority, 3), (Policy::All, 3)], 4;
    a_promise_before_it_is_stored_is_found: PromisesBeforeStoring, [(Policy::Majority, 3)], 61_215;
    a_node_that_obeys_lower_epochs_is_found: IgnoresEpochs, [(Policy::Majority, 3)], 62;
    the_choice_of_the_longest_log_is_found: ChoosesLongest, [(Policy::Majority, 3)], 179;
    an_old_batch_that_truncates_is_found: StalePrepareTruncates, [(Policy::All, 3), (Policy::Majority, 3)], 2;
    a_truncation_to_what_is_committed_is_found: TruncatesToCommitted, [(Policy::Majority, 3), (Policy::All, 3)], 0;
    a_group_that_shrinks_at_once_is_found: ShrinksAtOnce, [(Policy::All, 3), (Policy::Majority, 3)], 102;
    a_group_that_shrinks_without_copies_is_found: ShrinksWithoutCopies, [(Policy::Majority, 3), (Policy::SemiSync(1), 3)], 102;
    a_group_that_shrinks_without_what_was_adopted_is_found: ShrinksWithoutAdopted, [(Policy::Majority, 3), (Policy::SemiSync(1), 3)], 21_996;
    a_group_that_grows_without_copies_is_found: GrowsWithoutCopies, [(Policy::All, 3), (Policy::Majority, 4)], 3894;
    a_commit_of_earlier_epochs_is_found: CommitsEarlierEpochs, [(Policy::Majority, 3), (Policy::Majority, 5)], 17_858;
    a_node_that_leads_again_is_found: LeadsAgain, [(Policy::Majority, 3)], 15;
}

found! {
    true;
    a_snapshot_above_what_is_committed_is_found: SnapshotsAboveCommitted, [(Policy::Majority, 3), (Policy::All, 3)], 0;
    a_log_that_is_trimmed_above_its_snapshot_is_found: TrimsAboveSnapshot, [(Policy::Majority, 3), (Policy::All, 3)], 0;
    a_promise_that_is_replaced_with_the_log_is_found: ReplacesPromise, [(Policy::Majority, 3), (Policy::SemiSync(1), 3)], 0;
    an_early_acknowledgement_of_a_piece_is_found: AcknowledgesPieceBeforeSync, [(Policy::Majority, 3), (Policy::All, 3)], 2;
    a_snapshot_older_than_what_is_committed_is_found: InstallsOlder, [(Policy::Majority, 3), (Policy::Majority, 5)], 23_215;
    a_damaged_snapshot_that_is_taken_over_is_found: InstallsUnchecked, [(Policy::Majority, 3), (Policy::All, 3)], 8;
}

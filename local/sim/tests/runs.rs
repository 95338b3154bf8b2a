//! Runs from seeds. `make sim` makes more of them.

use std::collections::BTreeSet;

/// As many as fit into the time of `make test`, in a debug build.
const RUNS: u64 = 10_000;
/// Fault points that so many runs hit: fewer, and the exploring has quietly stopped somewhere.
const POINTS: usize = 70;

#[test]
fn whatever_goes_wrong_the_invariants_hold() {
    let mut points = BTreeSet::new();
    for seed in 1..=RUNS {
        let outcome = statuspulse_sim::run(seed, false);
        assert!(
            outcome.violations.is_empty(),
            "make sim SEED={seed} shows what happened:\n{}",
            outcome.violations.join("\n")
        );
        points.extend(outcome.points);
    }
    eprintln!("{} fault points hit in {RUNS} runs", points.len());
    assert!(points.len() >= POINTS, "{} fault points hit: {points:?}", points.len());
}

/// Seeds that once broke an invariant outside the usual range, and what it was: two of an outage whose identity was a comparison of
/// times (a store call took seconds between two failures), one of a pause by hand that swallowed the news of a recovery, one of a cancel beside a hold,
/// one of a worker that recorded a failure when its claim had passed to another, whose success was lost,
/// one of a redelivery that was held too late for a resume, whose repetition did not see to it,
/// one of a page that held a delivery half a minute late, when the webhook had been resumed and drained.
#[test]
fn seeds_that_once_failed_hold() {
    let seeds = [
        251_923_843,
        138_980_900,
        684_407_388,
        376_232_566_831,
        369_994_180_635,
        830_877_887_473,
        881_422_150_044,
    ];
    for seed in seeds {
        assert_eq!(statuspulse_sim::run(seed, false).violations, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in [3, 44, 77, 11_659] {
        let (one, other) = (statuspulse_sim::run(seed, true), statuspulse_sim::run(seed, true));
        assert!(one.history.len() > 100, "seed {seed} is hardly a run");
        assert_eq!(one, other, "seed {seed}");
        let unwatched = statuspulse_sim::run(seed, false);
        assert_eq!(one.attempts, unwatched.attempts, "seed {seed}, with and without its history");
    }
}

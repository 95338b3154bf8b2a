//! Simulated runs from fixed seeds. `make sim` runs more of them.

use std::collections::BTreeSet;

/// As many as fit into the time of `make test` in a debug build.
const RUNS: u64 = 10_000;
/// Fault points that these runs must hit: fewer would mean that the simulation has stopped exploring somewhere.
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

/// Seeds outside of the usual range that once broke an invariant:
///
/// - two: outages were identified by times (a store call took seconds between two failures);
/// - a pause by hand dropped the notification of a recovery;
/// - a cancel ran beside a hold;
/// - a worker recorded a failure when its claim had passed to another worker, whose success was lost;
/// - a redelivery was held too late for a resume, and repeating the call did not release it;
/// - a page held a delivery half a minute late, when the webhook had been resumed and drained;
/// - a first attempt failed while its webhook was paused, and stayed on the ladder when all was said to be held;
/// - an outcome in a Slack burst was not recorded, and the delivery's own message was lost;
/// - a delivery's first attempt used a message that a copy of it ended, and its worker died;
/// - two: a burst carried a delivery whose message was lost, and its worker died between a record and its message;
/// - the last: a redelivery was held just after its webhook's deliveries had been cancelled, and its caller died.
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
        222_658_011_642,
        81_227_252_746,
        528_499_712_984,
        948_970_494_699,
        956_797_063_080,
        345_018_250_820,
        6_202_300_417_518,
        435_798_601_238,
        822_543_629_870,
        844_536_506_382,
        1_373_742,
        18_513_292_754_263,
        904_218_678_190,
        341_527_769_934,
        591_592_606_774,
        182_148_535_103,
    ];
    for seed in seeds {
        assert_eq!(statuspulse_sim::run(seed, false).violations, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_makes_the_same_run() {
    for seed in [3, 5, 44, 77] {
        let (one, other) = (statuspulse_sim::run(seed, true), statuspulse_sim::run(seed, true));
        assert!(one.history.len() > 100, "seed {seed} is hardly a run");
        assert_eq!(one, other, "seed {seed}");
        let unwatched = statuspulse_sim::run(seed, false);
        assert_eq!(one.attempts, unwatched.attempts, "seed {seed}, with and without its history");
    }
}

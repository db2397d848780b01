//! Drives a feed against a world that fails, seed by seed, and checks what must always hold.
//! `SEEDS=200000 cargo test -p trigger --test simulation` for more; `FIRST=17 SEEDS=1 TRACE=1` tells
//! one seed's story.
#![expect(unreachable_pub, reason = "modules of a test have no outside")]
#![expect(clippy::print_stdout, reason = "a test's report")]
mod guest;
mod log;
mod memo;
mod model;
mod rng;
mod scene;
mod world;

use std::ops::ControlFlow;
use trigger::{Reason, Stand, State};

const STEPS_MAX: u64 = 60_000;
const SEEDS: u64 = 24_000;

#[derive(Debug, Default)]
struct Sum {
    records: u64,
    events: u64,
    starts: u64,
    ended: u64,
    held: u64,
    released: u64,
    survivors: u64,
    refusals: u64,
}

fn is_poisoned(stand: &Stand) -> bool {
    stand.state == State::Held && matches!(stand.reason, Some(Reason::Poison { .. }))
}

fn run(seed: u64, sum: &mut Sum) {
    let mut rng = rng::Rng::new(seed);
    let scene = scene::draw(&mut rng);
    let mut world = world::World::new(rng, scene);
    let mut held = false;
    if std::env::var("TRACE").is_ok() {
        eprintln!("{:#?}", world.scene);
    }
    while !world.is_done() && !held {
        assert!(world.events < STEPS_MAX, "no end: {:?}", world.feed.stand(world.now));
        let flow = world.step();
        let stand = world.feed.stand(world.now);
        held = is_poisoned(&stand) && world.model.is_killed_by_next();
        assert!(flow == ControlFlow::Continue(()) || world.is_done() || held, "idle: {stand:?}");
    }
    if !held {
        let settled = world.model.handled.len() + world.model.ended.len() + world.model.lost.len();
        let first = world.scene.records.keys().filter(|at| **at < world.first.0).count();
        assert_eq!(settled + first, world.scene.records.len(), "each record settles");
    }
    assert!(world.model.outputs.values().all(|times| *times == 1), "each output once");
    sum.records += world.scene.records.len() as u64;
    sum.events += world.events;
    sum.starts += u64::from(world.starts);
    sum.ended += world.model.ended.len() as u64;
    sum.held += u64::from(held);
    sum.released += world.released;
    sum.survivors += world.feed.counts().survivors_copied;
    sum.refusals += world.refusals;
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_fails_each_record_has_its_effect_exactly_once_and_in_order() {
    let (first, seeds) = (number("FIRST", 1), number("SEEDS", SEEDS));
    let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let work = |worker: u64| {
        let mut sum = Sum::default();
        for seed in (first + worker..first + seeds).step_by(workers as usize) {
            let run = std::panic::AssertUnwindSafe(|| run(seed, &mut sum));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed} is red");
                std::panic::resume_unwind(panic);
            }
        }
        sum
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        for thread in threads {
            println!("{:?}", thread.join().expect("a red seed, see above"));
        }
    });
}

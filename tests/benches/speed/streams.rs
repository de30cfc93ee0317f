//! Broadcasts as fast as they go, in networks of several shapes.
//!
//! Contestants take turns, so that a slow minute hits all of them.

use std::time::Duration;

use crate::Plan;
use crate::entrants::{ENTRANTS, Entrant, Program, Scene, peers_program};
use crate::rows::{Rows, Spread};
use crate::stage::{self, Run};

pub(crate) fn measure(plan: &Plan, scene: Scene, rows: &mut Rows) {
    for size in &plan.sizes {
        let entrants: Vec<Entrant> = entrants(plan, scene, *size);
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); entrants.len()];
        for turn in 0..plan.runs * entrants.len() {
            let index = turn % entrants.len();
            let entrant = &entrants[index];
            match stage::run(scene, entrant, *size, time(plan, scene), plan.pinned) {
                Ok(run) => runs[index].push(run),
                Err(error) => eprintln!("{} in {}: {error}", entrant.word, scene.word()),
            }
        }
        let test = format!("{}/{size}", scene.word());
        for (entrant, runs) in entrants.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
            keep(rows, &test, entrant.word, runs);
        }
    }
}

fn entrants(plan: &Plan, scene: Scene, size: usize) -> Vec<Entrant> {
    let built = peers_program().exists();
    let plays = |entrant: &Entrant| {
        let there = entrant.program == Program::Own || plan.peers && built;
        there && plan.wants(entrant.word) && entrant.plays(scene, size)
    };
    ENTRANTS.into_iter().filter(plays).collect()
}

/// The peers of a large network need longer to come up than to be measured.
fn time(plan: &Plan, scene: Scene) -> Duration {
    Duration::from_secs_f64(if scene == Scene::Two { plan.seconds } else { plan.seconds.max(0.5) })
}

fn keep(rows: &mut Rows, test: &str, who: &str, runs: &[Run]) {
    let mut add = |figure: &str, value: fn(&Run) -> f64| {
        rows.add(test, who, figure, Spread::of(runs.iter().map(value)));
    };
    add("rate", Run::rate);
    add("wall", Run::wall);
    add("cpu-ns", |run| run.cpu_each() * 1e9);
    add("cpu-sender", |run| run.sent.cpu);
    add("cpu-receivers", |run| run.received.iter().map(|count| count.cpu).sum());
    add("lost", Run::lost);
}

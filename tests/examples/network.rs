//! Prints the goals for broadcast trees and what was measured.
//!
//! `network table [SIZE…]` prints all rows, of these sizes of network or of all, each measured in a
//! process of its own; `network NAME SIZE [SEEDS]` measures one. The last columns are CPU seconds
//! of the row, and the most memory its process held, divided by its nodes; both need Linux.

use std::process::{Command, ExitCode};

use peerline_testkit::quality::rows::{ROWS, Row, cpu_seconds, memory_per_node};

fn measure(row: &Row, size: usize, seeds: u64) {
    let lines = (row.run)(size, seeds);
    let cpu = cpu_seconds().unwrap_or_default();
    let memory = memory_per_node(size).unwrap_or_default();
    for line in lines {
        println!("{line} {seeds} | {cpu:.0} | {memory:.2} |");
    }
}

fn table(sizes: &[usize]) -> std::io::Result<()> {
    println!(
        "| nodes: scenario | best known | goal | measured, mean (worst) | | seeds | CPU s | MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let program = std::env::current_exe()?;
    for row in ROWS {
        let wanted = |size: &&usize| sizes.is_empty() || sizes.contains(size);
        for size in row.sizes.iter().filter(wanted) {
            Command::new(&program).args([row.name, &size.to_string()]).status()?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<usize>().ok());
    let name = args.first().map_or("table", String::as_str);
    if name == "table" {
        let sizes: Vec<usize> = (1..args.len()).filter_map(number).collect();
        return table(&sizes).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        println!("table, or one of {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let size = number(1).or_else(|| row.sizes.first().copied()).unwrap_or(100);
    measure(row, size, number(2).map_or_else(|| (row.seeds)(size), |seeds| seeds as u64));
    ExitCode::SUCCESS
}

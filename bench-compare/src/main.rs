//! `rust-peers ENGINE WORK SIZE REPEATS`: one line `R WORK SIZE REPEAT SECONDS OPERATIONS CHECKSUM` for each
//! repeat. Engines are `dd` and `hand`; works and checksums are those of the bench `engine`. `rust-peers facts WORK
//! SIZE` prints the facts of Manners and Waltz for the others.

mod data;
mod dataflow;
mod hand;
mod rules;
mod works;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [facts, work, size] = &args[..]
        && facts == "facts"
    {
        let Some(lines) = size.parse().ok().and_then(|size| data::facts(work, size)) else {
            eprintln!("no facts of {work} {size}");
            return ExitCode::FAILURE;
        };
        lines.iter().for_each(|line| println!("{line}"));
        return ExitCode::SUCCESS;
    }
    let [engine, work, size, repeats] = &args[..] else {
        eprintln!("usage: rust-peers ENGINE WORK SIZE REPEATS");
        return ExitCode::FAILURE;
    };
    let (Ok(size), Ok(repeats)) = (size.parse::<i64>(), repeats.parse::<u32>()) else {
        eprintln!("SIZE and REPEATS are numbers");
        return ExitCode::FAILURE;
    };
    for repeat in 0..repeats {
        let outcome = match &**engine {
            "dd" => dataflow::run(work, size),
            "hand" => hand::run(work, size),
            _ => None,
        };
        let Some(works::Outcome { time, operations, checksum }) = outcome else {
            eprintln!("no work {work} on {engine}");
            return ExitCode::FAILURE;
        };
        let seconds = time.as_secs_f64();
        println!("R {work} {size} {repeat} {seconds:.6} {operations} {checksum}");
    }
    ExitCode::SUCCESS
}

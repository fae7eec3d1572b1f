//! Repairs a damaged journal: says what would be lost, and goes back to the last safe point before the
//! damage when told so. A manifest that is missing, damaged or old is made again in a new directory.
//!
//! `cargo run --package steadfast-journal --example journal_repair -- DIR [--after-power-loss] [--yes]`,
//! or `-- DIR --into NEW`
#![expect(clippy::print_stdout, reason = "what is found and done is the program's output")]
#![expect(clippy::print_stderr, reason = "how to call it goes to the terminal")]

use std::error::Error;
use std::process::ExitCode;

use steadfast_journal::{Mend, Options, Repair};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [dir, flag, into] = &arguments[..]
        && flag == "--into"
    {
        return mend(dir, into);
    }
    let (flags, dirs): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let known = ["--after-power-loss", "--yes"];
    let ([dir], true) = (&dirs[..], flags.iter().all(|flag| known.contains(&&**flag))) else {
        eprintln!("usage: journal_repair DIR [--after-power-loss] [--yes]");
        eprintln!("       journal_repair DIR --into NEW");
        return Ok(ExitCode::from(2));
    };
    let options = Options::new().after_power_loss(has("--after-power-loss"));
    let Some(repair) = Repair::examine(dir, options)? else {
        println!("nothing to repair: the journal opens as it is");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{}", repair.loss());
    if !has("--yes") {
        println!("nothing was changed; --yes goes back to there, and keeps copies in quarantine/");
        return Ok(ExitCode::FAILURE);
    }
    let repaired = repair.carry_out()?;
    for file in &repaired.quarantined {
        println!("as it was before: {}", file.display());
    }
    if repaired.unreadable_bytes > 0 {
        println!("{} bytes could not be read; they are zero there", repaired.unreadable_bytes);
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the manifest again, in a new directory.
fn mend(dir: &str, into: &str) -> Result<ExitCode, Box<dyn Error>> {
    let Some(mend) = Mend::examine(dir, Options::new())? else {
        println!("nothing to mend: the manifest fits the segments");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{} segments make up the journal", mend.segments().len());
    for file in mend.assumed() {
        println!("follows by its numbers alone: {}", file.display());
    }
    for file in mend.left_out() {
        println!("not part of it: {}", file.display());
    }
    if !mend.keeps_durable_slots() {
        println!("nothing says how far the end was durable: damage there looks like a torn tail");
    }
    mend.copy_to(into)?;
    println!("copied to {into}; it is checked when it is opened");
    Ok(ExitCode::SUCCESS)
}

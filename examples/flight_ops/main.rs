//! thin
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]
mod alerts;
mod control;
mod data;
mod facts;
mod failure;
mod report;
mod rules;

fn main() {
    let dir = std::env::args().nth(1).unwrap_or("examples/data".into());
    let sess = std::env::args().nth(2).unwrap_or("/tmp/flight-sess".into());
    let t = std::time::Instant::now();
    let data = data::Data::read(dir.as_ref()).unwrap_or_else(|e| panic!("{e}"));
    eprintln!("data {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let place = control::Place { session: sess.into(), alerts: None };
    let sync = match std::env::args().nth(3).as_deref() { Some("process") => steadfast::Sync::Process, _ => steadfast::Sync::Batch };
    let r = control::Control::open(&data, &place, sync).and_then(|c| c.run(&mut |_| ()));
    match r {
        Ok(f) => println!("{f:#?} {:?}", t.elapsed()),
        Err(e) => eprintln!("{}", e.report()),
    }
}

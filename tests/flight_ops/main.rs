//! The example `flight_ops` as its users meet it: a program that is run, killed and run again.

mod facts;
mod figures;
mod kills;
mod refusals;
mod world;

// The rules are those of the example; the facts that they name are those of the module `facts` here.
#[path = "../../examples/flight_ops/facts.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the example, used in part")]
mod present;
#[path = "../../examples/flight_ops/rules.rs"]
mod rules;

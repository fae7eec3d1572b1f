//! Truth maintenance: chains of ten derived facts each, in and out.

use std::time::Duration;

use steadfast::prelude::*;
use steadfast_benches::timed;

use crate::facts::{fire, load_known, session, tally, told};

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Root {
    id: i32,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    depth: i32,
    id: i32,
}

#[rule(logical)]
fn first(r: &Root) -> Node {
    tally(i64::from(r.id));
    Node { depth: 1, id: r.id }
}

/// A rule for each depth.
macro_rules! rules_by_depth {
    ($($rule:ident $depth:tt)*) => {
        $(
            #[rule(logical)]
            fn $rule(#[when(n.depth == $depth)] n: &Node) -> Node {
                tally(i64::from(n.id));
                Node { depth: $depth + 1, id: n.id }
            }
        )*
        ruleset!(chains = 1: first, $($rule),*);
    };
}

rules_by_depth! { d1 1 d2 2 d3 3 d4 4 d5 5 d6 6 d7 7 d8 8 d9 9 }

pub(crate) fn tms(n: i32) -> (Duration, String) {
    let mut session = session(chains());
    let (handles, entering) = timed(|| {
        let handles = load_known(&mut session, (0..n).map(|id| Root { id }));
        fire(&mut session);
        handles
    });
    let derived = session.fact_count();
    let ((), leaving) = timed(|| {
        let deleted = session.transact(|stage| {
            handles.iter().try_for_each(|&handle| stage.delete(handle).map(drop))?;
            Ok(())
        });
        deleted.expect("handles of this session");
        fire(&mut session);
    });
    let (fires, _) = told();
    (entering + leaving, format!("{fires}:{derived}:{}", session.fact_count()))
}

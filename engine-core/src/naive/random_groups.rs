//! What the groups of random rules compute.

use super::super::api::Aggregate;
use super::super::api::aggregate::{
    self, Average, BottomK, Collect, CollectSet, Count, CountDistinct, First, Max, Median, Min,
    OrderedF64, Percentile, SampleStdDev, Sum, TopK, Variance,
};
use super::super::api::ir::{RuleBuilder, Var};
use super::Row3;

/// Closes a group: which functions, whether by key, and whether its result is bounded.
pub(super) fn close<T: Row3>(
    builder: &mut RuleBuilder,
    var: Var<T>,
    (function, keyed, having): (u8, bool, bool),
) {
    macro_rules! closed {
        ($functions:expr, $fields:expr, $input:expr, $bound:expr) => {
            if keyed {
                let group = builder.group_by::<(), _, _, _>(
                    var,
                    $fields,
                    |fact| fact.k(),
                    $functions,
                    $input,
                );
                if having {
                    builder.having(group, "bounded", $bound);
                }
            } else {
                let group = builder.accumulate::<(), _, _>(var, $fields, $functions, $input);
                if having {
                    builder.having(group, "bounded", $bound);
                }
            }
        };
    }
    match function {
        0 => closed!((Count,), &["k"], |_| ((),), |group| group.0 > 1),
        1 => closed!((Sum::<i64>::default(), Count), &["k", "v"], |fact| (fact.v(), ()), |group| {
            group.0 > 2
        }),
        2 => {
            closed!((Min::<i64>::default(),), &["k", "v"], |fact| (fact.v(),), |group| group.0 < 2);
        }
        3 => closed!(
            (Max::<i64, Option<i64>>::default(),),
            &["k", "v"],
            |fact| (fact.v(),),
            |group| group.0 != Some(1)
        ),
        4 => closed!((Average::<i64>::default(),), &["k", "v"], |fact| (fact.v(),), |group| group
            .0
            < 2.0),
        5 => closed!((Collect::<i64>::default(),), &["k", "v"], |fact| (fact.v(),), |group| group
            .0
            .len()
            != 2),
        _ => close_more(builder, var, (function, keyed, having)),
    }
}

/// A value as a float whose sum depends on the order of its terms: tenths, and one that swallows them.
fn swallowed(value: i64) -> f64 {
    [0.1, 0.2, -1e16, 1e16, 0.7][usize::try_from(value).expect("a few values")]
}

fn close_more<T: Row3>(builder: &mut RuleBuilder, var: Var<T>, shape: (u8, bool, bool)) {
    let fields = &["k", "v"];
    match shape.0 {
        6 => {
            let functions = (
                Sum::<f64>::default(),
                Average::<f64, Option<f64>>::default(),
                Variance::<i64, Option<f64>>::default(),
            );
            let input = |fact: &T| (swallowed(fact.v()), swallowed(fact.v()), fact.v());
            close_with(builder, var, shape, fields, functions, input, |(sum, ..)| *sum < 1e15);
        }
        7 => {
            let functions = (Median::<i64, f64>::default(), Percentile::<i64>::new(75.0));
            let input = |fact: &T| (fact.v(), fact.v());
            close_with(builder, var, shape, fields, functions, input, |(median, _)| *median > 0.5);
        }
        8 => {
            let functions = (CountDistinct::<i64>::default(), CollectSet::<i64>::default());
            let input = |fact: &T| (fact.v(), fact.v());
            close_with(builder, var, shape, fields, functions, input, |(count, _)| *count != 2);
        }
        9 => {
            let functions = (TopK::<i64>::new(2), BottomK::<OrderedF64, f64>::new(2));
            let input = |fact: &T| (fact.v(), OrderedF64::new(swallowed(fact.v())));
            close_with(builder, var, shape, fields, functions, input, |(top, _)| top.len() < 2);
        }
        _ => {
            let functions = (
                First::<i64>::default(),
                aggregate::Last::<i64>::default(),
                SampleStdDev::<f64, Option<f64>>::default(),
            );
            let input = |fact: &T| (fact.v(), fact.v(), swallowed(fact.v()));
            close_with(builder, var, shape, fields, functions, input, |(first, last, _)| {
                first <= last
            });
        }
    }
}

fn close_with<T: Row3, F: Aggregate>(
    builder: &mut RuleBuilder,
    var: Var<T>,
    (_, keyed, having): (u8, bool, bool),
    fields: &[&str],
    function: F,
    input: fn(&T) -> F::Input,
    bounded: fn(&F::Output) -> bool,
) {
    if keyed {
        let group = builder.group_by::<(), _, _, _>(var, fields, T::k, function, input);
        if having {
            builder.having(group, "bounded", move |group| bounded(group));
        }
    } else {
        let group = builder.accumulate::<(), _, _>(var, fields, function, input);
        if having {
            builder.having(group, "bounded", move |group| bounded(group));
        }
    }
}

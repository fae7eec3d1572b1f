//! Line labelling after Waltz: which lines of a drawing are edges that stand out, edges that go in, or the
//! border of a body.
//!
//! The border is known at two corners of each region; from there labels spread from junction to junction.
//! Each rule labels one unlabelled line and none contradicts another, so that the number of firings does
//! not depend on their order.

use steadfast::prelude::*;

pub use super::facts::{Edge, Junction, Kind, Label, Line, Phase, Stage, point};

type Cx<'a> = Then<'a>;

fn set(cx: &mut Cx<'_>, edge: Ref<'_, Edge>, label: Label) -> RuleResult {
    cx.modify(edge, |edge| edge.label = label)
}

#[rule]
fn reverse_edges(
    #[when(s.is == Phase::Duplicate)] s: &Stage,
    #[cross] l: Ref<Line>,
    cx: &mut Then,
) -> RuleResult {
    for (p1, p2) in [(l.p1, l.p2), (l.p2, l.p1)] {
        let (label, joined, plotted) = (Label::None, false, false);
        cx.insert(Edge { region: l.region, p1, p2, label, joined, plotted })?;
    }
    cx.delete(l)?;
    Ok(())
}

#[rule(salience = 10)]
fn make_3_junction(
    #[when(s.is == Phase::Detect)] s: &Stage,
    #[when(!e1.joined)]
    #[cross]
    e1: Ref<Edge>,
    #[when(!e2.joined && e2.p1 == e1.p1 && e2.p2 > e1.p2)] e2: Ref<Edge>,
    #[when(!e3.joined && e3.p1 == e1.p1 && e3.p2 > e2.p2)] e3: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    cx.insert(Junction::of_three(e1.region, e1.p1, [e1.p2, e2.p2, e3.p2]))?;
    [e1, e2, e3].into_iter().try_for_each(|edge| cx.modify(edge, |edge| edge.joined = true))
}

#[rule]
fn make_l(
    #[when(s.is == Phase::Detect)] s: &Stage,
    #[when(!e1.joined)]
    #[cross]
    e1: Ref<Edge>,
    #[when(!e2.joined && e2.p1 == e1.p1 && e2.p2 > e1.p2)] e2: Ref<Edge>,
    #[not(e3.p1 == e1.p1 && e3.p2 != e1.p2 && e3.p2 != e2.p2)] e3: Absent<Edge>,
    cx: &mut Then,
) -> RuleResult {
    let Edge { region, p1: base, .. } = *e1;
    cx.insert(Junction { region, kind: Kind::L, base, p1: e1.p2, p2: 0, p3: e2.p2 })?;
    [e1, e2].into_iter().try_for_each(|edge| cx.modify(edge, |edge| edge.joined = true))
}

#[rule]
fn first_border_l(
    #[when(s.is == Phase::First)] s: &Stage,
    #[when(j.kind == Kind::L)]
    #[cross]
    j: &Junction,
    #[not(k.region == j.region && k.base > j.base)] k: Absent<Junction>,
    #[when(e1.label == Label::None && e1.p1 == j.base && e1.p2 == j.p1)] e1: Ref<Edge>,
    #[when(e3.p1 == j.base && e3.p2 == j.p3)] e3: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, e1, Label::Border)?;
    set(cx, e3, Label::Border)
}

#[rule]
fn first_border_arrow(
    #[when(s.is == Phase::First)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[not(k.region == j.region && k.base > j.base)] k: Absent<Junction>,
    #[when(e1.label == Label::None && e1.p1 == j.base && e1.p2 == j.p1)] e1: Ref<Edge>,
    #[when(e2.p1 == j.base && e2.p2 == j.p2)] e2: Ref<Edge>,
    #[when(e3.p1 == j.base && e3.p2 == j.p3)] e3: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, e1, Label::Border)?;
    set(cx, e2, Label::Plus)?;
    set(cx, e3, Label::Border)
}

#[rule]
fn second_border_l(
    #[when(s.is == Phase::Second)] s: &Stage,
    #[when(j.kind == Kind::L)]
    #[cross]
    j: &Junction,
    #[not(k.region == j.region && k.base < j.base)] k: Absent<Junction>,
    #[when(e1.label == Label::None && e1.p1 == j.base && e1.p2 == j.p1)] e1: Ref<Edge>,
    #[when(e3.p1 == j.base && e3.p2 == j.p3)] e3: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, e1, Label::Border)?;
    set(cx, e3, Label::Border)
}

#[rule]
fn second_border_arrow(
    #[when(s.is == Phase::Second)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[not(k.region == j.region && k.base < j.base)] k: Absent<Junction>,
    #[when(e1.label == Label::None && e1.p1 == j.base && e1.p2 == j.p1)] e1: Ref<Edge>,
    #[when(e2.p1 == j.base && e2.p2 == j.p2)] e2: Ref<Edge>,
    #[when(e3.p1 == j.base && e3.p2 == j.p3)] e3: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, e1, Label::Border)?;
    set(cx, e2, Label::Plus)?;
    set(cx, e3, Label::Border)
}

#[rule]
fn match_edge(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(e.label != Label::None)]
    #[cross]
    e: &Edge,
    #[when(t.label == Label::None && t.p1 == e.p2 && t.p2 == e.p1)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, e.label)
}

#[rule]
fn label_l(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::L)]
    #[cross]
    j: &Junction,
    #[when((e.label == Label::Plus || e.label == Label::Minus) && e.p1 == j.base)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 != e.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Border)
}

#[rule]
fn fork_1(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Fork)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Plus && e.p1 == j.base)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 != e.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn fork_2(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Fork)]
    #[cross]
    j: &Junction,
    #[when(e1.label == Label::Border && e1.p1 == j.base)] e1: &Edge,
    #[when(e2.label == Label::Minus && e2.p1 == j.base && e2.p2 != e1.p2)] e2: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 != e1.p2 && t.p2 != e2.p2)] t: Ref<
        Edge,
    >,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Border)
}

#[rule]
fn fork_3(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Fork)]
    #[cross]
    j: &Junction,
    #[when(e1.label == Label::Border && e1.p1 == j.base)] e1: &Edge,
    #[when(e2.label == Label::Border && e2.p1 == j.base && e2.p2 != e1.p2)] e2: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 != e1.p2 && t.p2 != e2.p2)] t: Ref<
        Edge,
    >,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Minus)
}

#[rule]
fn fork_4(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Fork)]
    #[cross]
    j: &Junction,
    #[when(e1.label == Label::Minus && e1.p1 == j.base)] e1: &Edge,
    #[when(e2.label == Label::Minus && e2.p1 == j.base && e2.p2 != e1.p2)] e2: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 != e1.p2 && t.p2 != e2.p2)] t: Ref<
        Edge,
    >,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Minus)
}

#[rule]
fn arrow_shaft_stands_out_left(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when((e.label == Label::Border || e.label == Label::Minus) && e.p1 == j.base && e.p2 == j.p1)]
    e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn arrow_barbs_alike_left(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when((e.label == Label::Border || e.label == Label::Minus) && e.p1 == j.base && e.p2 == j.p1)]
    e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p3)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, e.label)
}

#[rule]
fn arrow_shaft_goes_in_left(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Plus && e.p1 == j.base && e.p2 == j.p1)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Minus)
}

#[rule]
fn arrow_barbs_stand_out_left(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Plus && e.p1 == j.base && e.p2 == j.p1)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p3)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn arrow_barb_stands_out_left(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Minus && e.p1 == j.base && e.p2 == j.p2)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p1)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn arrow_shaft_stands_out_right(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when((e.label == Label::Border || e.label == Label::Minus) && e.p1 == j.base && e.p2 == j.p3)]
    e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn arrow_barbs_alike_right(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when((e.label == Label::Border || e.label == Label::Minus) && e.p1 == j.base && e.p2 == j.p3)]
    e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p1)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, e.label)
}

#[rule]
fn arrow_shaft_goes_in_right(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Plus && e.p1 == j.base && e.p2 == j.p3)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p2)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Minus)
}

#[rule]
fn arrow_barbs_stand_out_right(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Plus && e.p1 == j.base && e.p2 == j.p3)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p1)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn arrow_barb_stands_out_right(
    #[when(s.is == Phase::Label)] s: &Stage,
    #[when(j.kind == Kind::Arrow)]
    #[cross]
    j: &Junction,
    #[when(e.label == Label::Minus && e.p1 == j.base && e.p2 == j.p2)] e: &Edge,
    #[when(t.label == Label::None && t.p1 == j.base && t.p2 == j.p3)] t: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    set(cx, t, Label::Plus)
}

#[rule]
fn plot(
    #[when(s.is == Phase::Plot)] s: &Stage,
    #[when(!e.plotted && e.label != Label::None)]
    #[cross]
    e: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    cx.modify(e, |e| e.plotted = true)
}

#[rule]
fn plot_border(
    #[when(s.is == Phase::Plot)] s: &Stage,
    #[when(!e.plotted && e.label == Label::None)]
    #[cross]
    e: Ref<Edge>,
    cx: &mut Then,
) -> RuleResult {
    cx.modify(e, |e| (e.label, e.plotted) = (Label::Border, true))
}

#[rule(salience = -10)]
fn stage_is_over(#[when(s.is != Phase::Done)] s: Ref<Stage>, cx: &mut Then) -> RuleResult {
    cx.modify(s, |s| s.is = s.is.next())
}

ruleset!(
    pub waltz = 1:
        reverse_edges, make_3_junction, make_l,
        first_border_l, first_border_arrow, second_border_l, second_border_arrow,
        match_edge, label_l, fork_1, fork_2, fork_3, fork_4,
        arrow_shaft_stands_out_left, arrow_barbs_alike_left, arrow_shaft_goes_in_left,
        arrow_barbs_stand_out_left, arrow_barb_stands_out_left,
        arrow_shaft_stands_out_right, arrow_barbs_alike_right, arrow_shaft_goes_in_right,
        arrow_barbs_stand_out_right, arrow_barb_stands_out_right,
        plot, plot_border, stage_is_over
);

/// Labels a drawing; gives the number of firings.
pub fn label(session: &mut Session, lines: &[Line]) -> steadfast::Result<u64> {
    session.transact(|stage| {
        lines.iter().try_for_each(|line| stage.insert(line.clone()).map(drop))?;
        stage.insert(Stage { is: Phase::Duplicate })?;
        Ok(())
    })?;
    Ok(session.fire_all()?.count)
}

/// Firings and labels as one text that is the same whatever the order of the firings.
pub fn checksum(session: &mut Session, fired: u64) -> steadfast::Result<String> {
    let (mut counts, mut sum) = ([0_u64; 4], 0);
    for edge in session.query::<Edge>()? {
        let code = match edge.label {
            Label::None => 0,
            Label::Plus => 1,
            Label::Minus => 2,
            Label::Border => 3,
        };
        counts[code] += 1;
        sum += i64::try_from(code).unwrap_or(0) * (edge.p1 + 31 * edge.p2);
    }
    let [_, plus, minus, border] = counts;
    Ok(format!("{fired}:{sum}:+{plus}/-{minus}/B{border}"))
}

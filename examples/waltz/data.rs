//! Line drawings: each region is a staircase of thirteen steps, seen from the front, from above and from
//! one side.

use crate::rules::{Line, point};

const STEPS: i64 = 13;

/// The lines of so many regions, shuffled; always the same for a number of regions.
pub fn lines(regions: i64) -> Vec<Line> {
    let mut lines: Vec<Line> = (0..regions).flat_map(staircase).collect();
    let mut random = Random(7 + u64::try_from(regions).unwrap_or(0));
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at + 1));
    }
    lines
}

fn staircase(region: i64) -> Vec<Line> {
    // Along the steps, depth (near or far), and height, projected.
    let project = |(x, z): (i64, i64), depth: i64| {
        point(5 * x - 40 * depth + 200 * region + 60, 2 * x + 6 * z + 20 * depth + 10)
    };
    let mut profile = vec![(0, 0)];
    for step in 0..STEPS {
        profile.extend([(step, step + 1), (step + 1, step + 1)]);
    }
    let mut lines = Vec::new();
    let mut draw = |p1, p2| lines.push(Line { region, p1, p2 });
    // The near face is closed along the ground, of the far one only the steps are seen.
    let mut near = profile.clone();
    near.push((STEPS, 0));
    for (at, &corner) in near.iter().enumerate() {
        draw(project(corner, 0), project(near[(at + 1) % near.len()], 0));
    }
    for &corner in &profile {
        draw(project(corner, 0), project(corner, 1));
    }
    for pair in profile.windows(2) {
        draw(project(pair[0], 1), project(pair[1], 1));
    }
    lines
}

/// A generator that gives the same numbers everywhere (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = limit as u64;
        usize::try_from((z ^ (z >> 31)) % limit).expect("below a usize")
    }
}

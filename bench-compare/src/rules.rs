//! What the generators of the examples make facts of, without the engine.

#[derive(Clone, Copy)]
pub enum Sex {
    Male,
    Female,
}

pub struct Guest {
    pub name: u32,
    pub sex: Sex,
    pub hobby: u32,
}

pub struct Line {
    pub region: i64,
    pub p1: i64,
    pub p2: i64,
}

/// The number of a point, as in `examples/waltz/facts.rs`.
pub fn point(x: i64, y: i64) -> i64 {
    x * 4096 + y
}

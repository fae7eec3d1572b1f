//! Which part of what was not synced survives a power cut.

/// Chooses among a number of possibilities, again and again.
pub trait Chooser {
    /// A number below `options`, which is at least 1.
    fn choose(&mut self, options: usize) -> usize;
}

/// Draws every choice from a seed.
#[derive(Clone, Debug)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    /// The same seed draws the same choices.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl Chooser for Seeded {
    fn choose(&mut self, options: usize) -> usize {
        usize::try_from(self.below(options as u64)).unwrap_or_default()
    }
}

/// Always chooses alike: the first possibility (nothing survives) or the last (everything does).
#[derive(Clone, Copy, Debug)]
pub enum Fixed {
    /// Nothing that was not synced survives.
    Nothing,
    /// Everything survives.
    Everything,
}

impl Chooser for Fixed {
    fn choose(&mut self, options: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => options - 1,
        }
    }
}

/// Goes through every combination of choices, one per run.
///
/// # Examples
///
/// ```
/// use steadfast_journal::testing::{Chooser, Exhaustive};
///
/// let mut all = Vec::new();
/// let mut choices = Exhaustive::default();
/// loop {
///     all.push((choices.choose(2), choices.choose(3)));
///     if !choices.advance() {
///         break;
///     }
/// }
/// assert_eq!(all, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    /// What was chosen, and among how many.
    taken: Vec<(usize, usize)>,
    next: usize,
}

impl Exhaustive {
    /// Moves to the next combination; `false` after the last.
    pub fn advance(&mut self) -> bool {
        self.taken.truncate(self.next);
        self.next = 0;
        while let Some((chosen, options)) = self.taken.pop() {
            if chosen + 1 < options {
                self.taken.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

impl Chooser for Exhaustive {
    fn choose(&mut self, options: usize) -> usize {
        if self.next == self.taken.len() {
            self.taken.push((0, options));
        }
        let (chosen, _) = self.taken[self.next];
        self.next += 1;
        chosen
    }
}

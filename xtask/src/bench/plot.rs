//! Draws the ratios of a bench as bars, on a logarithmic scale with a line at 1.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::row::Row;

const WIDTH: i32 = 960;
const LABEL_WIDTH: i32 = 270;
const VALUE_WIDTH: i32 = 90;
const BAR_HEIGHT: i32 = 18;
const TOP: i32 = 44;
const BOTTOM: i32 = 44;

const BETTER: RGBColor = RGBColor(58, 124, 88);
const WORSE: RGBColor = RGBColor(176, 96, 72);
const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(214, 214, 214);
const TARGET: RGBColor = RGBColor(24, 62, 140);

/// Writes one picture of all `rows`.
pub(crate) fn write(path: &Path, caption: &str, rows: &[Row]) -> Result<()> {
    // The errors of a drawing borrow from it, so they leave as text.
    draw(path, caption, rows).map_err(|error| anyhow!("failed to draw {}: {error}", path.display()))
}

fn draw(path: &Path, caption: &str, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let count = i32::try_from(rows.len())?;
    let height = TOP + count * (BAR_HEIGHT + 6) + BOTTOM;
    let area =
        SVGBackend::new(path, (u32::try_from(WIDTH)?, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(caption.to_owned(), (12, 10), text(14)))?;
    let legend = "right of 1×: ours is better; blue: the target";
    area.draw(&Text::new(legend, (LABEL_WIDTH, height - 14), text(10)))?;
    let scale = Scale::around(rows);
    for &mark in scale.marks() {
        let x = scale.x(mark);
        let is_even = (mark - 1.0).abs() < f64::EPSILON;
        let color = if is_even { INK } else { GRID };
        area.draw(&PathElement::new([(x, TOP - 6), (x, height - BOTTOM)], color))?;
        area.draw(&Text::new(format!("{mark}×"), (x - 8, height - BOTTOM + 6), text(11)))?;
    }
    for (row, i) in rows.iter().zip(0..) {
        let top = TOP + i * (BAR_HEIGHT + 6);
        let label = format!("{} {} / {}", row.work, row.size, row.against);
        area.draw(&Text::new(label, (12, top + 3), text(12)))?;
        let (from, to) = (scale.x(1.0), scale.x(row.ratio));
        let color = if row.ratio >= 1.0 { BETTER } else { WORSE };
        let bar = [(from.min(to), top), (from.max(to).max(from.min(to) + 1), top + BAR_HEIGHT)];
        area.draw(&Rectangle::new(bar, color.filled()))?;
        if let Some(target) = row.target {
            let x = scale.x(target);
            let line = [(x, top - 2), (x, top + BAR_HEIGHT + 2)];
            area.draw(&PathElement::new(line, TARGET.stroke_width(2)))?;
        }
        let value = (WIDTH - VALUE_WIDTH + 24, top + 3);
        area.draw(&Text::new(format!("{:.2}×", row.ratio), value, text(12)))?;
    }
    area.present()?;
    Ok(())
}

/// Ratios to pixels.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Holds all ratios, all targets, and 1.
    fn around(rows: &[Row]) -> Self {
        let values = || rows.iter().flat_map(|row| [Some(row.ratio), row.target]).flatten();
        let low = values().fold(0.5, f64::min);
        let high = values().fold(2.0, f64::max);
        Self { low: low * 0.9, high: high * 1.1 }
    }

    fn marks(&self) -> &'static [f64] {
        const MARKS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0, 10_000.0];
        let from = MARKS.partition_point(|mark| *mark < self.low);
        let to = MARKS.partition_point(|mark| *mark <= self.high);
        &MARKS[from..to]
    }

    #[expect(clippy::cast_possible_truncation, reason = "a pixel; out of range values are clamped")]
    fn x(&self, ratio: f64) -> i32 {
        let share = (ratio / self.low).ln() / (self.high / self.low).ln();
        let width = f64::from(WIDTH - LABEL_WIDTH - VALUE_WIDTH);
        LABEL_WIDTH + (share.clamp(0.0, 1.0) * width) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_holds_every_ratio_and_every_target() {
        let row = |ratio, target| Row {
            work: String::new(),
            size: 1,
            against: String::new(),
            ours: 1.0,
            theirs: ratio,
            unit: "s".into(),
            ratio,
            target,
        };
        let scale = Scale::around(&[row(0.02, None), row(3.0, Some(50.0))]);
        let xs = [0.02, 1.0, 3.0, 50.0].map(|ratio| scale.x(ratio));
        assert!(xs.is_sorted() && xs[0] > LABEL_WIDTH && xs[3] < WIDTH - VALUE_WIDTH, "{xs:?}");
        assert_eq!(scale.marks(), [0.1, 0.5, 1.0, 2.0, 5.0, 10.0]);
    }
}

//! Draws growth curves: what one operation costs, by the number of facts, both on logarithmic scales.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::row::Point;

const SIZE: (u32, u32) = (960, 540);
const COLORS: &[RGBColor] = &[
    RGBColor(24, 62, 140),
    RGBColor(58, 124, 88),
    RGBColor(176, 96, 72),
    RGBColor(120, 80, 140),
    RGBColor(120, 120, 40),
];

/// Writes one picture of all curves.
pub(crate) fn write(path: &Path, caption: &str, points: &[Point]) -> Result<()> {
    // The errors of a drawing borrow from it, so they leave as text.
    draw(path, caption, points)
        .map_err(|error| anyhow!("failed to draw {}: {error}", path.display()))
}

fn draw(path: &Path, caption: &str, points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let costs = || points.iter().map(|point| point.cost);
    let (low, high) = (costs().fold(f64::MAX, f64::min), costs().fold(0.0, f64::max));
    let sizes = points.iter().map(|point| point.size);
    let (first, last) = (sizes.clone().min().unwrap_or(1), sizes.max().unwrap_or(2));
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d((first..last).log_scale(), (low * 0.7..high * 1.4).log_scale())?;
    chart.configure_mesh().x_desc("facts").y_desc("ns per operation").draw()?;
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        if !names.contains(&&*point.curve) {
            names.push(&point.curve);
        }
    }
    for (name, &color) in names.into_iter().zip(COLORS.iter().cycle()) {
        let of_curve = points.iter().filter(|point| point.curve == name);
        let line = LineSeries::new(of_curve.map(|point| (point.size, point.cost)), color);
        let key = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color);
        chart.draw_series(line.point_size(3))?.label(name).legend(key);
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

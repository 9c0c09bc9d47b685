//! Draws charts of the last minute as SVG images.

use plotters::prelude::*;

use crate::telemetry::SECONDS;

const WIDTH: u32 = 340;
const HEIGHT: u32 = 96;
/// The width, in pixels, of the area for the labels of the vertical axis.
const LABELS: u32 = 46;

/// The colours of lines. The page's style sheet selects the lines by these colours, and replaces
/// them by those of the reader's colour scheme.
pub(super) const GOOD: RGBColor = RGBColor(0x2a, 0x8c, 0x5a);
pub(super) const BAD: RGBColor = RGBColor(0xd1, 0x49, 0x5b);
pub(super) const ILL: RGBColor = RGBColor(0xb7, 0x79, 0x1f);
const TEXT: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// A line of a chart, with one value for each second in chronological order.
pub(super) struct ChartLine {
    pub(super) colour: RGBColor,
    pub(super) values: Vec<f64>,
}

/// Draws lines as an SVG image. `label` formats the values on the vertical axis.
pub(super) fn draw(lines: &[ChartLine], label: &dyn Fn(f64) -> String) -> String {
    let mut svg = String::new();
    // An error is not expected: writing to a string does not fail, and the reader's browser
    // provides the fonts. If there is one, the page lacks the chart, but still contains the figures
    // as text.
    match draw_to(&mut svg, lines, label) {
        Ok(()) => svg,
        Err(error) => {
            tracing::error!(%error, "a chart cannot be drawn");
            String::new()
        }
    }
}

fn draw_to(
    svg: &mut String,
    lines: &[ChartLine],
    label: &dyn Fn(f64) -> String,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    let values = lines.iter().flat_map(|line| &line.values);
    let most = values.copied().fold(1.0, f64::max) * 1.1;
    let first = 1.0 - SECONDS as f64;
    let mut chart = ChartBuilder::on(&area)
        .margin(6)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(first..0.0, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(3)
        .y_label_formatter(&|value| label(*value))
        .label_style(("sans-serif", 14).into_font().color(&TEXT))
        .axis_style(GRID)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for ChartLine { colour, values } in lines {
        let points = values.iter().enumerate().map(|(index, value)| (first + index as f64, *value));
        let area = AreaSeries::new(points, 0.0, colour.mix(0.15));
        chart.draw_series(area.border_style(colour.stroke_width(2)))?;
    }
    area.present()?;
    Ok(())
}

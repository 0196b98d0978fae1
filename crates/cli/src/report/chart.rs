//! Charts as SVG: columns over time, and bars of a few things.
//!
//! Colours are the page's classes `s0` to `s7`, so that it can be read in the dark as well.

use std::fmt::Write as _;

use super::time_axis::TimeAxis;
use crate::text::grouped;

/// Series that have a colour of their own; the last is of all others together.
pub(super) const COLOURS: usize = 8;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const BOTTOM: f64 = 28.0;
const TOP: f64 = 10.0;
/// The width of a character of a time, at most.
const CHARACTER: f64 = 7.5;
const BAR: f64 = 26.0;
const BAR_LEFT: f64 = 260.0;
const BAR_RIGHT: f64 = 130.0;

/// One colour of a chart over time.
pub(super) struct Series {
    pub(super) name: String,
    /// What it counts in each column of the axis.
    pub(super) values: Vec<u64>,
}

/// A text as HTML has it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(character),
        }
    }
    out
}

/// Columns over time, one series upon another, with a legend where there are several.
pub(super) fn columns(axis: &TimeAxis, series: &[Series], what: &str) -> String {
    let sum = |column: usize| series.iter().filter_map(|series| series.values.get(column)).sum::<u64>();
    let highest = (0..axis.columns).map(sum).max().unwrap_or_default();
    let top = round_up(highest);
    let scale = (HEIGHT - TOP - BOTTOM) / top as f64;
    let step = (WIDTH - LEFT) / axis.columns as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} per {}\">",
        escaped(what),
        axis.step
    );
    grid(&mut svg, top, scale);
    for column in 0..axis.columns {
        let mut below = 0_u64;
        let x = LEFT + step * column as f64;
        for (index, series) in series.iter().enumerate() {
            let value = series.values.get(column).copied().unwrap_or_default();
            if value == 0 {
                continue;
            }
            below += value;
            let _ = write!(
                svg,
                "<rect class=\"s{}\" x=\"{x:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\"><title>{}: {}{} {}</title></rect>",
                index.min(COLOURS - 1),
                HEIGHT - BOTTOM - scale * below as f64,
                (step - 0.5).max(0.5),
                scale * value as f64,
                axis.name(column),
                grouped(value),
                if series.name.is_empty() { String::new() } else { format!(" {}", escaped(&series.name)) },
                escaped(what),
            );
        }
    }
    let every = axis.columns.div_ceil(6).max(1);
    for column in (0..axis.columns).step_by(every) {
        let (x, name) = (LEFT + step * column as f64, axis.name(column));
        // One that would not end within the chart is left out.
        if x + CHARACTER * name.len() as f64 <= WIDTH {
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\">{name}</text>", HEIGHT - 8.0);
        }
    }
    svg.push_str("</svg>");
    if series.len() > 1 {
        svg.push_str("<p class=\"legend\">");
        for (index, series) in series.iter().enumerate() {
            let name = escaped(&series.name);
            let _ = write!(svg, "<span><i class=\"s{}\"></i>{name}</span> ", index.min(COLOURS - 1));
        }
        svg.push_str("</p>");
    }
    svg
}

fn grid(svg: &mut String, top: u64, scale: f64) {
    for quarter in 0..=4 {
        let value = top * quarter / 4;
        let y = HEIGHT - BOTTOM - scale * value as f64;
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            grouped(value)
        );
    }
}

/// Bars, one below the other.
pub(super) fn bars(values: &[(String, u64)], what: &str) -> String {
    let highest = values.iter().map(|(_, value)| *value).max().unwrap_or_default().max(1);
    let height = BAR * values.len() as f64;
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escaped(what));
    for (index, (name, value)) in values.iter().enumerate() {
        let y = BAR * index as f64;
        let width = (WIDTH - BAR_LEFT - BAR_RIGHT) * *value as f64 / highest as f64;
        let _ = write!(
            svg,
            "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <rect class=\"s0\" x=\"{BAR_LEFT}\" y=\"{:.1}\" width=\"{width:.2}\" height=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            BAR_LEFT - 8.0,
            y + 17.0,
            escaped(&shortened(name)),
            y + 4.0,
            BAR - 8.0,
            BAR_LEFT + width + 6.0,
            y + 17.0,
            grouped(*value)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// As much of a name as there is room for.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 36;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// The next number whose quarters are round, so that the grid's are.
fn round_up(value: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for factor in [4, 8, 12, 20, 40] {
            if unit.saturating_mul(factor) >= value {
                return unit.saturating_mul(factor);
            }
        }
        if unit > u64::MAX / 100 {
            return value;
        }
        unit *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_numbers_and_room_for_the_highest() {
        for (value, top) in
            [(0, 4), (4, 4), (5, 8), (13, 20), (41, 80), (6_500, 8_000), (1_000_001, 1_200_000)]
        {
            assert_eq!(round_up(value), top, "{value}");
        }
        assert!(round_up(u64::MAX) == u64::MAX);
    }

    #[test]
    fn a_name_brings_no_markup_into_the_page() {
        let bars = bars(&[("<script>\"&".to_owned(), 3)], "\"what\"");
        assert!(bars.contains("&lt;script&gt;&quot;&amp;") && !bars.contains("<script"), "{bars}");
        assert!(bars.contains("aria-label=\"&quot;what&quot;\""), "{bars}");
    }

    #[test]
    fn a_column_is_as_high_as_its_series_together() {
        let axis = TimeAxis::over(0, 3_600_000, 3_600_000);
        let series = |name: &str, values: &[u64]| Series { name: name.to_owned(), values: values.to_vec() };
        let svg = columns(&axis, &[series("a", &[4, 0]), series("b", &[4, 8])], "rows");
        assert_eq!(svg.matches("<rect").count(), 3, "an empty column has no rectangle: {svg}");
        assert!(svg.contains("1970-01-01 01:00: 8 b rows"), "{svg}");
        // Both columns reach the top of the grid.
        assert_eq!(svg.matches(&format!("y=\"{TOP:.2}\"")).count(), 2, "{svg}");
    }
}

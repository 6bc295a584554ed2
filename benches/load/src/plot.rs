//! The two plots.

use crate::measure::{PLOTTED, Results, SIZES, name_of};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::fmt::Debug;
use std::path::Path;

const SIZE: (u32, u32) = (760, 440);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0xc0, 0x39, 0x2b),
    RGBColor(0x29, 0x80, 0xb9),
    RGBColor(0x27, 0xae, 0x60),
    RGBColor(0x8e, 0x44, 0xad),
    RGBColor(0xe6, 0x7e, 0x22),
    RGBColor(0x7f, 0x8c, 0x8d),
];

type Line = (String, Vec<(f64, f64)>);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes both into `documents`.
pub fn write(results: &Results, documents: &Path) {
    let costs: Vec<Line> = PLOTTED
        .iter()
        .map(|key| {
            let cost = |size: usize| results.cost(&format!("{key}/{}", name_of(size)));
            let points =
                SIZES.iter().filter_map(|size| Some((*size as f64 / 1024.0, cost(*size)?)));
            ((*key).to_owned(), points.collect())
        })
        .collect();
    let labels = ["body, KiB", "CPU per request, µs"];
    draw(&documents.join("performance-cpu.svg"), "CPU per request by body size", labels, &costs);

    let mut latencies: Vec<Line> = Vec::new();
    for (key, rates) in &results.latencies {
        let of = |at: fn(&crate::latency::Percentiles) -> f64| {
            rates.iter().map(|(rate, percentiles)| (f64::from(*rate), at(percentiles))).collect()
        };
        latencies.push((format!("{key}, p50"), of(|p| p.p50)));
        latencies.push((format!("{key}, p99"), of(|p| p.p99)));
    }
    let labels = ["requests per second", "latency, µs"];
    draw(&documents.join("performance-latency.svg"), "Latency by load", labels, &latencies);
}

/// Lines over logarithmic axes.
fn draw(file: &Path, title: &str, labels: [&str; 2], lines: &[Line]) {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).expect("a file");
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let bounds = |of: fn((f64, f64)) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min);
        let high = points().map(of).fold(0.0, f64::max);
        (low / 1.3)..(high * 1.3)
    };
    let (x, y) = (bounds(|p| p.0).log_scale(), bounds(|p| p.1).log_scale());
    fill(&area, title, labels, lines, x, y);
    area.present().expect("a file");
}

fn fill<X, Y>(area: &Area<'_>, title: &str, labels: [&str; 2], lines: &[Line], x: X, y: Y)
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
    X::Value: Debug,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(x, y)
        .expect("a chart");
    let number = |value: &f64| format!("{value:.0}");
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(labels[0])
        .y_desc(labels[1])
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .draw()
        .expect("a mesh");
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))
            .expect("a line")
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .expect("a legend");
}

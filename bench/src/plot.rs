// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plots the cost of a call by operation and library.

use std::path::Path;

use plotters::{coord::Shift, prelude::*};

use crate::{
    measure::Rounds,
    report::{FIRST, Measured},
    within::STEADY,
};

/// Bare, bare in a function, sysbpf, libbpf, the distribution's libbpf. Also distinguishable without colour vision.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xcc, 0xcc, 0xcc),
    RGBColor(0xd5, 0x5e, 0),
    RGBColor(0, 0x72, 0xb2),
    RGBColor(0x56, 0xb4, 0xe9),
];

pub fn draw(measured: &Measured, file: &Path) -> Result<(), String> {
    let area = SVGBackend::new(file, (1000, 460)).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(430);
        let first: Vec<(&str, &Rounds)> =
            FIRST.iter().zip(&measured.first).map(|((_, f), (cold, _))| (*f, cold)).collect();
        panel(&left, "first call of a process, microseconds", &first, 1e-3, &measured.processes)?;
        let steady: Vec<(&str, &Rounds)> = STEADY.iter().copied().zip(&measured.steady).collect();
        panel(&right, "steady call, nanoseconds", &steady, 1.0, &measured.within)?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(|e| format!("{}: {e}", file.display()))
}

/// Groups of bars: a group for each operation, in it a bar for each subject, with the quartiles as a line.
fn panel(
    area: &DrawingArea<SVGBackend, Shift>,
    title: &str,
    groups: &[(&str, &Rounds)],
    unit: f64,
    names: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let subjects = names.len();
    let top = groups.iter().flat_map(|(_, r)| (0..subjects).map(|s| r.spread(s).high * unit)).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top * 1.5)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .max_light_lines(0)
        .draw()?;
    let width = 0.8 / subjects as f64;
    for (s, name) in names.iter().enumerate() {
        // A subject has the same colour in both panels. Only one of them has the bare call in a function.
        let colour = COLOURS[if s > 0 && subjects < COLOURS.len() { s + 1 } else { s }];
        let bars = groups.iter().enumerate().map(|(g, (_, rounds))| {
            let x = g as f64 + 0.1 + s as f64 * width;
            Rectangle::new([(x, 0.0), (x + width * 0.9, rounds.spread(s).median * unit)], colour.filled())
        });
        chart
            .draw_series(bars)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        chart.draw_series(groups.iter().enumerate().map(|(g, (_, rounds))| {
            let (x, spread) = (g as f64 + 0.1 + (s as f64 + 0.45) * width, rounds.spread(s));
            PathElement::new(vec![(x, spread.low * unit), (x, spread.high * unit)], BLACK)
        }))?;
        chart.draw_series(groups.iter().enumerate().map(|(g, (_, rounds))| {
            let (x, spread) = (g as f64 + 0.1 + s as f64 * width, rounds.spread(s));
            let digits = if spread.median * unit < 100.0 { 1 } else { 0 };
            Text::new(
                format!("{:.digits$}", spread.median * unit),
                (x, spread.high * unit + top * 0.04),
                ("sans-serif", 10),
            )
        }))?;
    }
    let label = ("sans-serif", 13).into_font();
    for (g, (name, _)) in groups.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(g as f64 + 0.25, 0.0));
        area.draw(&Text::new(
            name.to_string(),
            {
                let (left, top) = area.get_base_pixel();
                (x - left, y - top + 8)
            },
            label.clone(),
        ))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK.mix(0.2))
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

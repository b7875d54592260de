//! The roofline diagram: what each step reaches over how much it computes a byte, both logarithmic.

use maud::{Markup, html};

use super::{Profiled, Roofs, Step};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// Decades on both axes.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn new(steps: &[&Step], roofs: &Roofs) -> Axes {
        let around = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) = values
                .filter(|v| *v > 0.0 && v.is_finite())
                .fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
            (low.log10().floor(), high.log10().ceil())
        };
        let ridge = roofs.f32_gmacs / roofs.far_gb;
        let x = around(&mut steps.iter().map(|s| s.intensity).chain([0.1, 2.0 * ridge]));
        let top = roofs.f32_gmacs.max(if integers(steps) { roofs.int8_gmacs } else { 0.0 });
        let y = around(&mut steps.iter().map(|s| gmacs(s)).chain([top]));
        Axes { x, y }
    }

    fn x(&self, value: f64) -> f64 {
        let (low, high) = self.x;
        let at = (value.log10() - low) / (high - low).max(1.0);
        LEFT + (WIDTH - LEFT - RIGHT) * at.clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        let (low, high) = self.y;
        let at = (value.log10() - low) / (high - low).max(1.0);
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - at.clamp(0.0, 1.0))
    }

    fn decades((low, high): (f64, f64)) -> impl Iterator<Item = f64> {
        (low as i32..=high as i32).map(|exponent| 10f64.powi(exponent))
    }

    /// `bandwidth` times intensity, up to `peak`, from the left end of the axis.
    fn roof(&self, bandwidth: f64, peak: f64) -> String {
        let low = 10f64.powf(self.x.0);
        let bottom = 10f64.powf(self.y.0);
        let start = low.max(bottom / bandwidth);
        let ridge = (peak / bandwidth).clamp(low, 10f64.powf(self.x.1));
        let corner = (bandwidth * ridge).min(peak);
        let points = [
            (start, (bandwidth * start).min(peak)),
            (ridge, corner),
            (10f64.powf(self.x.1), peak.min(corner.max(peak))),
        ];
        points.map(|(x, y)| format!("{:.1},{:.1}", self.x(x), self.y(y))).join(" ")
    }
}

/// The diagram; steps that multiply nothing are not in it.
pub fn scatter(profiled: &Profiled, roofs: &Roofs) -> Markup {
    let steps: Vec<(usize, &Step)> =
        profiled.steps.iter().enumerate().filter(|(_, s)| s.macs > 0).collect();
    let drawn: Vec<&Step> = steps.iter().map(|&(_, s)| s).collect();
    let axes = Axes::new(&drawn, roofs);
    // Areas are times: the longest step has radius 16.
    let longest = drawn.iter().map(|s| s.median_us).fold(1e-9, f64::max);
    let radius = |s: &Step| 2.5 + 13.5 * (s.median_us / longest).sqrt();
    let mut peaks = vec![("float32", roofs.f32_gmacs)];
    if integers(&drawn) {
        peaks.push(("int8", roofs.int8_gmacs));
    }
    html! {
        svg.scatter viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="Roofline" {
            @for x in Axes::decades(axes.x) {
                line.grid x1=(px(axes.x(x))) x2=(px(axes.x(x))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                text x=(px(axes.x(x))) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (x) }
            }
            @for y in Axes::decades(axes.y) {
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(axes.y(y))) y2=(px(axes.y(y))) {}
                text x=(LEFT - 8.0) y=(px(axes.y(y) + 4.0)) text-anchor="end" { (y) }
            }
            text x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 6.0) text-anchor="middle" { "multiply-adds a byte" }
            text x="0" y="0" transform={ "translate(12 " ((TOP + HEIGHT - BOTTOM) / 2.0) ") rotate(-90)" } text-anchor="middle" { "GMAC/s" }
            @for (name, peak) in &peaks {
                polyline.roof points=(axes.roof(roofs.near_gb, *peak)) {}
                polyline.roof.far points=(axes.roof(roofs.far_gb, *peak)) {}
                text x=(WIDTH - RIGHT - 4.0) y=(px(axes.y(*peak) - 5.0)) text-anchor="end" { (name) " " (format!("{peak:.0}")) " GMAC/s" }
            }
            @for (index, s) in &steps {
                circle.step data-step=(index) cx=(px(axes.x(s.intensity))) cy=(px(axes.y(gmacs(s)))) r=(px(radius(s))) style=(super::page::tone(s.roofline)) {
                    title { (super::page::tip(s)) }
                }
            }
        }
    }
}

fn gmacs(s: &Step) -> f64 {
    s.macs as f64 / s.median_us.max(1e-9) / 1e3
}

fn integers(steps: &[&Step]) -> bool {
    steps.iter().any(|s| s.kind.ends_with("int8"))
}

fn px(v: f64) -> String {
    format!("{v:.1}")
}

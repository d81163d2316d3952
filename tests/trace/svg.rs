//! A picture of a trace: its tracks as rows, as Perfetto's user interface shows them.

use std::fmt::Write;

use super::{Mark, Trace};

/// Pixels.
const WIDTH: f64 = 960.0;
const NAMES: f64 = 170.0;
const ROW: f64 = 17.0;
const TOP: f64 = 24.0;
const INDENT: f64 = 10.0;
/// Of a character, about.
const CHARACTER: f64 = 6.3;
const COLOURS: [&str; 8] = ["#7fa7d9", "#8cc49a", "#d9b26f", "#b79bd1", "#74c2c4", "#d99a8c", "#a9b86b", "#9aa5b8"];

/// Where a track is.
struct Row {
    uuid: u64,
    depth: usize,
}

/// Draws the slices of a trace, and who created whom; failed programs have a red edge.
pub fn draw(trace: &Trace) -> String {
    let mut rows = Vec::new();
    below(trace, None, 0, &mut rows);
    let slices = || trace.marks.iter().filter_map(|mark| Some((mark, mark.end?)));
    let first = slices().map(|(mark, _)| mark.begin).min().unwrap_or(0);
    let last = slices().map(|(_, end)| end).max().unwrap_or(1);
    let x = |at: u64| NAMES + (at - first) as f64 / (last - first) as f64 * (WIDTH - NAMES - 8.0);
    let y = |uuid: u64| TOP + rows.iter().position(|row| row.uuid == uuid).map_or(0.0, |n| n as f64 * ROW);
    let height = TOP + rows.len() as f64 * ROW + 6.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"ui-monospace, monospace\" font-size=\"10.5\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    axis(&mut svg, (first, last), height, &x);
    for row in &rows {
        let (left, base) = (4.0 + row.depth as f64 * INDENT, y(row.uuid) + 12.0);
        let name = escaped(&trace.tracks[&row.uuid].name);
        writeln!(svg, "<text x=\"{left:.0}\" y=\"{base:.0}\" fill=\"#333333\">{name}</text>").unwrap();
    }
    for to in trace.marks.iter().filter(|mark| mark.to.is_some()) {
        let from = trace.marks.iter().find(|mark| mark.from == to.to).expect("it has both ends");
        let (x, above, under) = (x(to.begin), y(from.track) + ROW - 2.0, y(to.track) + 2.0);
        writeln!(svg, "<path d=\"M{x:.1} {above:.0}V{under:.0}\" stroke=\"#555555\" stroke-width=\"0.7\"/>").unwrap();
    }
    for (mark, end) in slices() {
        slice(&mut svg, mark, (x(mark.begin), x(end)), y(mark.track));
    }
    svg + "</svg>\n"
}

/// The tracks that have slices, each behind its parent.
fn below(trace: &Trace, parent: Option<u64>, depth: usize, rows: &mut Vec<Row>) {
    for (uuid, track) in trace.tracks.iter().filter(|(_, track)| track.parent == parent) {
        if !track.counter {
            rows.push(Row { uuid: *uuid, depth });
        }
        below(trace, Some(*uuid), depth + 1, rows);
    }
}

fn axis(svg: &mut String, (first, last): (u64, u64), height: f64, x: &dyn Fn(u64) -> f64) {
    const STEPS: [u64; 9] = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    let step = STEPS.iter().map(|ms| ms * 1_000_000).find(|step| (last - first) / step <= 10).unwrap_or(last - first);
    for n in 0..=(last - first) / step {
        let (x, ms) = (x(first + n * step), n * step / 1_000_000);
        let line = format!("<path d=\"M{x:.1} 16V{height:.0}\" stroke=\"#e4e4e4\"/>");
        writeln!(svg, "{line}<text x=\"{:.1}\" y=\"12\" fill=\"#777777\">{ms} ms</text>", x + 2.0).unwrap();
    }
}

fn slice(svg: &mut String, mark: &Mark, (begin, end): (f64, f64), y: f64) {
    let width = (end - begin).max(1.0);
    let colour = match mark.name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) {
        _ if mark.category == "fork" => "#dcdcdc",
        hash => COLOURS[hash % COLOURS.len()],
    };
    let failed = mark.get("signal").is_some() || mark.get("code").is_some_and(|code| code != "0");
    let edge = if failed { " stroke=\"#c62828\" stroke-width=\"1.6\"" } else { "" };
    let (top, tall) = (y + 1.0, ROW - 3.0);
    let said = ["argv", "code", "signal", "cpu_ns", "max_rss_bytes"]
        .into_iter()
        .filter_map(|name| Some((name, mark.get(name)?)));
    let said: String = said.map(|(name, value)| format!("\n{name}: {value}")).collect();
    let title = escaped(&format!("{}{said}", mark.name));
    writeln!(
        svg,
        "<rect x=\"{begin:.1}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"{tall:.0}\" fill=\"{colour}\"{edge}>\
         <title>{title}</title></rect>"
    )
    .unwrap();
    if width > mark.name.chars().count() as f64 * CHARACTER + 6.0 {
        let (left, base, name) = (begin + 4.0, y + 12.0, escaped(&mark.name));
        writeln!(svg, "<text x=\"{left:.1}\" y=\"{base:.0}\" fill=\"#1b1b1b\">{name}</text>").unwrap();
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

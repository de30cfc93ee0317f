//! Pictures of deliveries per second, as SVG: a bar for each contestant on a scale of decades.
//!
//! The bar is the median, the thin line over it goes from the least to the most. Colours are told
//! apart by lightness too; every bar has its number.

use std::fmt::Write as _;

use crate::SIZES;
use crate::entrants::{ENTRANTS, Entrant, Program, Scene};
use crate::rows::{Rows, Spread};

const WIDTH: f64 = 900.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 330.0;
const LONGEST: f64 = 470.0;
const TOP: f64 = 64.0;
const STEP: f64 = 26.0;
const BAR: f64 = 16.0;

/// A picture for each network and size with three contestants at least.
pub(crate) fn all(rows: &Rows) -> Vec<(String, String)> {
    let mut pictures = Vec::new();
    for scene in Scene::ALL {
        for size in SIZES {
            let test = format!("{}/{size}", scene.word());
            let rate = |entrant: Entrant| Some((entrant, rows.get(&test, entrant.word, "rate")?));
            let bars: Vec<(Entrant, Spread)> = ENTRANTS.into_iter().filter_map(rate).collect();
            if bars.len() > 2 {
                let name = format!("{}-{size}.svg", scene.word());
                let title = format!("{}, {size} B: deliveries per second", scene.name());
                pictures.push((name, picture(&title, &bars)));
            }
        }
    }
    pictures
}

fn picture(title: &str, bars: &[(Entrant, Spread)]) -> String {
    let least = bars.iter().map(|(_, rate)| rate.min).fold(f64::INFINITY, f64::min);
    let most = bars.iter().map(|(_, rate)| rate.max).fold(0.0, f64::max);
    let (low, high) = (least.log10().floor(), most.log10().ceil());
    let x = |value: f64| LEFT + (value.log10() - low).max(0.0) / (high - low) * LONGEST;
    let bottom = TOP + STEP * bars.len() as f64;
    let height = bottom + 40.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"17\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"16\" y=\"48\" fill=\"#555555\">each line of the scale is ten times the one \
         before; thin lines go from the least to the most of the runs</text>\n"
    );
    for decade in low as i32..=high as i32 {
        let (at, label) = (x(10_f64.powi(decade)), short(10_f64.powi(decade)));
        writeln!(
            text,
            "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{label}\
             </text>",
            bottom + 20.0
        )
        .unwrap();
    }
    for (index, (entrant, rate)) in bars.iter().enumerate() {
        bar(&mut text, TOP + STEP * index as f64 + 5.0, entrant, *rate, x);
    }
    text.push_str("</svg>\n");
    text
}

fn bar(text: &mut String, y: f64, entrant: &Entrant, rate: Spread, x: impl Fn(f64) -> f64) {
    let [least, middle, most] = [rate.min, rate.median, rate.max].map(x);
    let colour = match entrant.program {
        Program::Peers => "#9db4c8",
        Program::Own if entrant.word.starts_with("mio") => "#0b5394",
        Program::Own if entrant.word.starts_with("smol") => "#3d85c6",
        Program::Own => "#999999",
    };
    let (name, line, centre) = (entrant.name, y + 13.0, y + BAR / 2.0);
    let (width, label) = (middle - LEFT, short(rate.median));
    writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{line:.1}\" text-anchor=\"end\">{name}</text>\n\
         <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" \
         fill=\"{colour}\"/>\n\
         <path d=\"M{least:.1} {centre:.1}H{most:.1}\" stroke=\"#222222\"/>\n\
         <text x=\"{:.1}\" y=\"{line:.1}\">{label}</text>",
        LEFT - 8.0,
        most.max(middle) + 8.0
    )
    .unwrap();
}

/// Three digits and a unit.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let digits = if value >= 99.95 || value.fract() == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

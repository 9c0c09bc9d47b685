//! The shares that each limit refuses, as an SVG.

use std::fmt::Write as _;

use super::args::Plan;
use super::replay::{Replay, share};
use super::table::percent;

const WIDTH: usize = 900;
/// Where the bars begin and how far the axis reaches.
const LEFT: usize = 270;
const AXIS: usize = 540;
/// Where the first limit's row begins.
const TOP: usize = 96;
const ROW: usize = 40;
const BAR: usize = 13;
const REQUESTS: &str = "#2563eb";
const SUBJECTS: &str = "#d97706";

/// Two bars for each limit: the share of requests and the share of subjects that it refuses.
pub(crate) fn draw(plan: &Plan, replay: &Replay) -> String {
    let subjects = replay.subjects.count();
    let rows: Vec<(&str, [f64; 2])> = replay
        .policies
        .iter()
        .map(|policy| {
            let of_requests = share(policy.refused, replay.requests);
            let of_subjects = share(policy.subjects_refused.count(), subjects);
            (policy.name(), [of_requests, of_subjects])
        })
        .collect();
    let greatest = rows.iter().flat_map(|(_, shares)| shares).copied().fold(0.0, f64::max);
    // Up to the next of these, in five steps.
    let most = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|most| greatest <= *most);
    let most = most.unwrap_or(100.0);
    let x = |share: f64| LEFT as f64 + share / most * AXIS as f64;

    let bottom = TOP + rows.len() * ROW;
    let height = bottom + 56;
    let plural = plan.key.plural();
    let title = escaped(&format!("What would be refused: {}", plan.log.display()));
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13" fill="#1f2937">
<title>{title}</title>
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>
<text x="24" y="32" font-size="17" font-weight="600">{title}</text>
<rect x="{LEFT}" y="54" width="13" height="13" fill="{REQUESTS}"/>
<text x="{}" y="65">share of requests</text>
<rect x="{}" y="54" width="13" height="13" fill="{SUBJECTS}"/>
<text x="{}" y="65">share of {plural} refused at least once</text>
"##,
        LEFT + 20,
        LEFT + 160,
        LEFT + 180,
    );
    for step in 0..=5_u8 {
        let share = most * f64::from(step) / 5.0;
        let x = x(share);
        // `write!` to a string does not fail.
        let _ = writeln!(
            svg,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="#e5e7eb"/>
<text x="{x:.1}" y="{}" text-anchor="middle" fill="#4b5563">{share}%</text>"##,
            bottom + 20,
        );
    }
    for (row, (name, shares)) in rows.iter().enumerate() {
        let y = TOP + row * ROW;
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#,
            LEFT - 12,
            y + ROW / 2 + 4,
            escaped(name),
        );
        for (bar, (share, colour)) in shares.iter().zip([REQUESTS, SUBJECTS]).enumerate() {
            let y = y + (ROW - 2 * BAR) / 2 + bar * BAR;
            let end = x(*share);
            let _ = writeln!(
                svg,
                r#"<rect x="{LEFT}" y="{y}" width="{:.1}" height="{}" fill="{colour}"/>
<text x="{:.1}" y="{}" font-size="11">{}</text>"#,
                end - LEFT as f64,
                BAR - 1,
                end + 5.0,
                y + BAR - 3,
                escaped(&percent(*share)),
            );
        }
    }
    let _ = writeln!(
        svg,
        r##"<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{bottom}" stroke="#6b7280"/>
<text x="{}" y="{}" text-anchor="middle" fill="#4b5563">refused</text>
</svg>"##,
        LEFT + AXIS / 2,
        bottom + 42,
    );
    svg
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    // XML has no other control characters.
    text.chars().filter(|c| !c.is_control()).collect()
}

//! The output of the demo.

use super::script::DemoLine;
use super::stage::{DemoStage, PATH, SECRET};
use std::fmt::Write as _;

const HEADS: [&str; 5] = ["THE SHOP SENT", "IT WAS TOLD", "ERP", "CRM", "WHY"];

/// The line above the table: the addresses.
pub(super) fn heading(stage: &DemoStage) -> String {
    format!("Hookward {}: shop -> {} -> erp, crm\n\n", env!("CARGO_PKG_VERSION"), stage.url(PATH))
}

/// The table, with a tick or a cross before each line, and how many are as expected.
pub(super) fn render(lines: &[DemoLine]) -> String {
    let rows: Vec<[String; 5]> = lines
        .iter()
        .map(|line| {
            let [erp, crm] = [&line.erp, &line.crm].map(|answered| statuses(answered));
            [line.sent.to_owned(), line.told.clone(), erp, crm, line.why.to_owned()]
        })
        .collect();
    let mut widths = HEADS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = format!("  {}\n", aligned(&HEADS.map(str::to_owned), widths));
    for (line, row) in lines.iter().zip(&rows) {
        let mark = if line.is_right() { '✓' } else { '✗' };
        _ = writeln!(text, "{mark} {}", aligned(row, widths));
        if let Some(expected) = &line.expected {
            _ = writeln!(text, "    must be: {expected}");
        }
    }
    let right = lines.iter().filter(|line| line.is_right()).count();
    _ = writeln!(text, "\n{right} of {} as expected.", lines.len());
    text
}

fn aligned(row: &[String; 5], widths: [usize; 5]) -> String {
    let cells: Vec<_> =
        row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// What a receiver answered; a dash if it got nothing.
fn statuses(answered: &[u16]) -> String {
    if answered.is_empty() {
        return "-".to_owned();
    }
    answered.iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

/// What the user can try next.
pub(super) fn invitation(stage: &DemoStage) -> String {
    let (url, admin) = (stage.url(PATH), stage.running.admin_address());
    let created_at = stage.time(0);
    format!(
        r#"
It goes on serving until Ctrl-C. Deliver an order yourself, then once more, then with another body:

  body='{{"event_id":"mine-1","type":"order.created","created_at":"{created_at}","data":{{}}}}'
  signature=$(printf %s "$body" | openssl dgst -sha256 -hmac {SECRET} | sed 's/.* //')
  curl -i {url} -H "X-Signature: sha256=$signature" --data-binary "$body"

Watch it:

  curl -s http://{admin}/metrics | grep hookward_deliveries_total
  curl -s http://{admin}/dedupe/shop/mine-1

"#
    )
}

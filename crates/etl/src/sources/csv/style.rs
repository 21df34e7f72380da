//! How a file writes numbers, as far as it shows.

use super::head::Head;
use super::layout::Figures;
use super::number::{Shape, Style, is_one_group, shape};

/// What the figures show of the way the file writes numbers.
///
/// # Errors
/// A sentence when the numbers may be one thing or another.
pub(super) fn find_style(head: &Head, figures: &Figures) -> Result<Style, String> {
    let Figures { price, rank, market_cap, volume, change, circulating_supply, total_supply, max_supply } =
        *figures;
    let change = change.map(|change| change.column);
    let columns =
        [Some(price), rank, market_cap, volume, change, circulating_supply, total_supply, max_supply];
    let mut style = Style::default();
    let (mut decimal_comma, mut both) = (None, None);
    let mut points = Points::default();
    for row in &head.rows {
        for cell in columns.iter().flatten().map(|column| row.cell(*column)) {
            match shape(cell.trim_end_matches('%')) {
                Shape::CommaGroups => style.comma_groups = true,
                Shape::PointGroups => style.point_groups = true,
                Shape::DecimalComma => _ = decimal_comma.get_or_insert((row.line, cell)),
                Shape::GroupsAndDecimalComma => _ = both.get_or_insert((row.line, cell)),
                Shape::Number => points.add(row.line, cell),
                _ => {}
            }
        }
    }
    // In a file that groups by commas `1,5` is a slip in one row; `1.234,56` throws doubt on every other number.
    match both.or(decimal_comma.filter(|_| !style.comma_groups)) {
        Some((line, cell)) => Err(format!(
            "line {line} holds {cell:?}, which seems to have a decimal comma; declare it in a CSV map (CSV_MAP): decimal = \",\", or \
             convert the numbers to the form 1234.56"
        )),
        None => points.doubt().filter(|_| head.delimiter == b';').map_or(Ok(style), Err),
    }
}

/// Numbers with a point, of a file that is separated as where the comma is decimal.
#[derive(Default)]
struct Points<'h> {
    /// The first one that may be in groups: `45.123`.
    groups: Option<(u64, &'h str)>,
    /// Whether one of them can only be a decimal number.
    decimal: bool,
}

impl<'h> Points<'h> {
    fn add(&mut self, line: u64, cell: &'h str) {
        if is_one_group(cell, '.') {
            self.groups.get_or_insert((line, cell));
        } else {
            self.decimal |= cell.contains('.');
        }
    }

    fn doubt(&self) -> Option<String> {
        let (line, cell) = self.groups.filter(|_| !self.decimal)?;
        Some(format!(
            "line {line} holds {cell:?}, which may be a decimal number or one in groups of three digits, as all with a point may; \
             declare in a CSV map (CSV_MAP) which it is: decimal = \".\" or decimal = \",\""
        ))
    }
}

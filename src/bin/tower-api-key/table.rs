use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::output::{Output, shown};

/// A table for people. Columns are as wide as the first rows need.
pub(crate) struct Table<const N: usize> {
    header: [&'static str; N],
    widths: Option<[usize; N]>,
}

/// What is longer is cut: `show` and `--json` have all of it.
const MAX_WIDTH: usize = 40;

impl<const N: usize> Table<N> {
    pub(crate) const fn new(header: [&'static str; N]) -> Self {
        Self { header, widths: None }
    }

    /// Writes some rows, and the header before the first of them.
    pub(crate) fn write(&mut self, out: &mut Output, rows: &[[String; N]]) -> Result<(), Failure> {
        let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| cut(&shown(cell)))).collect();
        let header = self.header.map(str::to_owned);
        let is_first = self.widths.is_none();
        let widths = *self.widths.get_or_insert_with(|| {
            std::array::from_fn(|column| {
                let cells = rows.iter().chain([&header]).map(|row| row[column].width());
                cells.max().unwrap_or(0)
            })
        });
        for row in is_first.then_some(&header).into_iter().chain(&rows) {
            out.line(&line(row, &widths))?;
        }
        Ok(())
    }
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
    }
    line.truncate(line.trim_end().len());
    line
}

fn cut(text: &str) -> String {
    if text.width() <= MAX_WIDTH {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        if cut.width() >= MAX_WIDTH - 2 {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    cut
}

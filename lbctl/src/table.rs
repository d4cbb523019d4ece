//! Tables for people.
//!
//! Columns are as wide as their widest cell in *screen* cells, not bytes or characters. Text from the
//! network is shown with its control characters replaced, so that a reason can't move the cursor.
//! Colour only repeats what a shape and a word already say.

use crate::output::View;
use unicode_width::UnicodeWidthStr;

/// Space between two columns.
const GAP: &str = "  ";

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

/// One cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
    wide: bool,
}

/// Rows under columns.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// A column of text.
pub(crate) const fn text(title: &'static str) -> Column {
    Column {
        title,
        right: false,
        wide: false,
    }
}

/// A column of numbers.
pub(crate) const fn number(title: &'static str) -> Column {
    Column {
        title,
        right: true,
        wide: false,
    }
}

// === impl Column ===

impl Column {
    /// Only when there is room.
    pub(crate) const fn wide(mut self) -> Self {
        self.wide = true;
        self
    }
}

// === impl Cell ===

impl Cell {
    /// A cell that says `text` in the colour of `tone`.
    pub(crate) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self {
            text: clean(text.as_ref()),
            tone,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

// === impl Table ===

impl Table {
    /// An empty table.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one cell a column, hidden ones too.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Draws it; nothing at all without rows.
    pub(crate) fn draw(&self, view: View) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|&i| self.columns.get(i).is_some_and(|c| view.wide || !c.wide))
            .collect();
        let head: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::new(column.title, Tone::Dim))
            .collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&head).chain(&self.rows).collect();
        let widths: Vec<usize> = shown
            .iter()
            .map(|&i| {
                lines
                    .iter()
                    .filter_map(|l| l.get(i))
                    .map(Cell::width)
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        lines
            .iter()
            .map(|line| self.draw_line(line, &shown, &widths, view.colour))
            .collect()
    }

    fn draw_line(&self, line: &[Cell], shown: &[usize], widths: &[usize], colour: bool) -> String {
        let mut drawn = String::new();
        for (&i, &width) in shown.iter().zip(widths) {
            let (Some(cell), Some(column)) = (line.get(i), self.columns.get(i)) else {
                continue;
            };
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if column.right {
                drawn.push_str(&pad);
            }
            drawn.push_str(&paint(&cell.text, cell.tone, colour));
            if !column.right {
                drawn.push_str(&pad);
            }
            drawn.push_str(GAP);
        }
        drawn.truncate(drawn.trim_end().len());
        drawn.push('\n');
        drawn
    }
}

impl Cell {
    fn width(&self) -> usize {
        self.text.width()
    }
}

/// `text` in the colour of `tone`.
pub(crate) fn paint(text: &str, tone: Tone, colour: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Warn => 33,
        Tone::Bad => 31,
        Tone::Dim => 2,
    };
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// `text` on one line, without control characters and without those that turn the direction of writing.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([
            text("NAME"),
            number("LOAD"),
            text("ZONE").wide(),
            text("WHY"),
        ]);
        table.row(["東京".into(), "7".into(), "z1".into(), Cell::from("")]);
        table.row([
            Cell::new("é-1", Tone::Bad),
            "1234".into(),
            "z2".into(),
            "a\x1b[2Jb\nc".into(),
        ]);
        table
    }

    #[test]
    fn columns_align_by_screen_cells() {
        assert_eq!(
            sample().draw(View::default()),
            "NAME  LOAD  WHY\n東京     7\né-1   1234  a\u{fffd}[2Jb c\n"
        );
    }

    #[test]
    fn wide_shows_all_columns_and_colour_does_not_move_them() {
        let view = View {
            wide: true,
            colour: true,
        };
        let drawn = sample().draw(view);
        assert!(drawn.contains("\x1b[31mé-1\x1b[0m   1234  z2"), "{drawn}");
    }

    #[test]
    fn nothing_is_drawn_for_nothing() {
        assert_eq!(Table::new([text("A")]).draw(View::default()), "");
    }
}

//! The documentation of an API's scopes, as a table of GitHub's Markdown.

use std::fmt::{self, Write};

use super::{Route, RouteTable};

impl fmt::Display for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| method | path | asks for |\n|---|---|---|\n")?;
        for Route { method, pattern, rule, .. } in self.iter() {
            writeln!(f, "| {} | {} | {} |", Code(method.as_str()), Code(pattern), Text(&rule.to_string()))?;
        }
        writeln!(f, "| any other | any other | {} |", self.unlisted())
    }
}

/// A code span within a cell. It ends at as many backticks as it began with, and the cell at a bar that is not
/// escaped, also within code.
struct Code<'a>(&'a str);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.0.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest + 1);
        let space = if longest == 0 { "" } else { " " };
        write!(f, "{fence}{space}{}{space}{fence}", self.0.replace('|', "\\|"))
    }
}

/// Plain text within a cell: without the letters that mean something else in Markdown.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if "\\`*_~|<>[]&!#:@".contains(letter) {
                f.write_char('\\')?;
            }
            f.write_char(letter)?;
        }
        Ok(())
    }
}

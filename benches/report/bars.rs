//! What the crate promises itself of its speed, and whether it keeps it.

use std::cell::RefCell;

#[derive(Default)]
pub(crate) struct Bars(RefCell<Vec<Bar>>);

struct Bar {
    what: String,
    limit: String,
    figure: String,
    met: bool,
}

impl Bars {
    /// A figure that must not be above this limit. Both are rounded to so many digits first.
    pub(crate) fn at_most(&self, what: impl Into<String>, figure: f64, limit: f64, digits: usize) {
        self.add(what.into(), "<=", figure, limit, digits, rounded(figure, digits) <= limit);
    }

    /// A figure that must not be below this limit.
    pub(crate) fn at_least(&self, what: impl Into<String>, figure: f64, limit: f64, digits: usize) {
        self.add(what.into(), ">=", figure, limit, digits, rounded(figure, digits) >= limit);
    }

    fn add(&self, what: String, sign: &str, figure: f64, limit: f64, digits: usize, met: bool) {
        let (limit, figure) = (format!("{sign} {limit:.digits$}"), format!("{figure:.digits$}"));
        self.0.borrow_mut().push(Bar { what, limit, figure, met });
    }

    pub(crate) fn print(&self) {
        println!("\n## Bars\n\n| what | bar | figure | |\n|---|--:|--:|---|");
        let bars = self.0.borrow();
        for Bar { what, limit, figure, met } in &*bars {
            println!("| {what} | {limit} | {figure} | {} |", if *met { "met" } else { "**not met**" });
        }
        println!("\n{} of {} are met.", bars.iter().filter(|bar| bar.met).count(), bars.len());
    }
}

fn rounded(figure: f64, digits: usize) -> f64 {
    let scale = 10_f64.powi(digits as i32);
    (figure * scale).round() / scale
}

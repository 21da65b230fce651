//! A layer inside a layer: every pair of them, against an oracle of which inner layer may skip what.

mod oracle;
mod pairs;
mod removed;

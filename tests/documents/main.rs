//! What the documents name and link exists.

mod cases;
mod links;
mod promises;

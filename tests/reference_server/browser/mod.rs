//! Mission Control, the page of the reference server, in a real browser: Chromium, driven through its `WebDriver`.
//!
//! Debian's packages are `chromium` and `chromium-driver`. The screenshots are left in `target/mission-control`.

mod flow;

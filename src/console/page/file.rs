use http::Uri;

/// What the page consists of.
#[derive(Clone, Copy)]
pub(super) enum File {
    Page,
    /// What the service has set, and who is asking.
    Settings,
    Asset {
        content_type: &'static str,
        content: &'static str,
    },
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! assets {
    ($($name:literal: $content_type:expr;)*) => {
        &[$(($name, File::Asset { content_type: $content_type, content: include_str!($name) }),)*]
    };
}

static ASSETS: &[(&str, File)] = assets! {
    "page.css": "text/css; charset=utf-8";
    "icon.svg": "image/svg+xml";
    "page.js": JAVASCRIPT;
    "main.js": JAVASCRIPT;
    "api.js": JAVASCRIPT;
    "config.js": JAVASCRIPT;
    "create.js": JAVASCRIPT;
    "dom.js": JAVASCRIPT;
    "feedback.js": JAVASCRIPT;
    "format.js": JAVASCRIPT;
    "list.js": JAVASCRIPT;
    "manage.js": JAVASCRIPT;
    "regenerate.js": JAVASCRIPT;
    "revoke.js": JAVASCRIPT;
    "secret.js": JAVASCRIPT;
};

/// Returns what this target names. The page itself refers to `?page.css`, which is the same file whether the path of the page
/// ends with a slash or not; its modules are below that path.
pub(super) fn asked(uri: &Uri) -> Option<File> {
    let query = uri.query().unwrap_or_default();
    if let Some(file) = named(query) {
        return Some(file);
    }
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    // The path of the page, whose last segment is no file.
    if name.contains('.') { named(name) } else { Some(File::Page) }
}

fn named(name: &str) -> Option<File> {
    if name == "config.json" {
        return Some(File::Settings);
    }
    ASSETS.iter().find(|(known, _)| *known == name).map(|(_, file)| *file)
}

//! A dispatcher as careless as any inner router might be: it decodes repeatedly, drops parameters, resolves dots, and
//! ignores extra slashes.

use http::Method;

pub(crate) fn route(method: &Method, path: &str) -> Option<&'static str> {
    let path = normalized(path);
    match (method.as_str(), &*path) {
        ("POST", "/signup") => Some("sign up"),
        ("GET" | "HEAD", "/") => Some("root"),
        ("GET" | "HEAD", "/admin") => Some("admin"),
        ("GET" | "HEAD", "/forgotten") => Some("forgotten"),
        ("GET" | "HEAD", path) if path.starts_with("/files/") => Some("file"),
        ("GET" | "HEAD", path) if path.starts_with("/items/") => Some("read"),
        ("DELETE", path) if path.starts_with("/items/") => Some("delete"),
        _ => None,
    }
}

pub(crate) fn normalized(path: &str) -> String {
    let mut decoded = path.to_owned();
    for _ in 0..3 {
        decoded = decode(&decoded);
    }
    let mut segments = Vec::new();
    for segment in decoded.replace('\\', "/").split('/') {
        let segment = segment.split([';', '\0', '\n', '\r', '\t']).next().unwrap_or_default();
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

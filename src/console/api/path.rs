use crate::key::KeyId;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    All,
    One(KeyId),
    Revoke(KeyId),
    Regenerate(KeyId),
}

/// Returns what the part of a path after the prefix names. What is no id is the id of no key.
pub(super) fn endpoint(rest: &str) -> Option<Endpoint> {
    if matches!(rest, "" | "/") {
        return Some(Endpoint::All);
    }
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (id, action) = match rest.split_once('/') {
        Some((id, action)) => (id, Some(action)),
        None => (rest, None),
    };
    let id = id.parse().ok()?;
    match action {
        None => Some(Endpoint::One(id)),
        Some("revoke") => Some(Endpoint::Revoke(id)),
        Some("regenerate") => Some(Endpoint::Regenerate(id)),
        Some(_) => None,
    }
}

impl Endpoint {
    /// Returns its methods, for `Allow`.
    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::All => "GET, HEAD, POST",
            Self::One(_) => "GET, HEAD, PATCH",
            Self::Revoke(_) | Self::Regenerate(_) => "POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_names_an_endpoint_or_nothing() {
        let id = KeyId::from_u128(7);
        let uid = id.to_string();
        for (path, expected) in [
            (String::new(), Some(Endpoint::All)),
            ("/".into(), Some(Endpoint::All)),
            (format!("/{uid}"), Some(Endpoint::One(id))),
            (format!("/{uid}/"), Some(Endpoint::One(id))),
            (format!("/{uid}/revoke/"), Some(Endpoint::Revoke(id))),
            (format!("/{uid}/regenerate"), Some(Endpoint::Regenerate(id))),
            (format!("/{uid}/purge/"), None),
            (format!("/{uid}/revoke/x"), None),
            (format!("/{uid}//"), None),
            ("//".into(), None),
            (format!("//{uid}/"), None),
            ("/x/".into(), None),
            ("/revoke/".into(), None),
        ] {
            assert_eq!(endpoint(&path), expected, "{path}");
        }
    }
}

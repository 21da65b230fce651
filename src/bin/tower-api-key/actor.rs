use std::env;

/// Returns who makes the change: what was asked for, or the user of this process.
pub(crate) fn of(asked: Option<&str>) -> String {
    if let Some(actor) = asked.filter(|actor| !actor.trim().is_empty()) {
        return actor.to_owned();
    }
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| env::var(name).ok());
    match user.filter(|user| !user.is_empty()) {
        Some(user) => format!("cli:{user}"),
        None => "cli".to_owned(),
    }
}

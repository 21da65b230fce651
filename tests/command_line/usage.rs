//! Arguments that are wrong.

use crate::program::{program, run};

/// Cases: 245.
///
/// A key that was pasted into the wrong place must not reach a log by way of the message.
#[test]
fn invalid_argument_is_one_line_without_its_value() {
    const SECRET: &str = "avk_00112233445566778899aabbccddeeff01234567";
    for arguments in [
        "SECRET",
        "issue SECRET",
        "issue --organization acme --name ci",
        "issue --organization acme --name ci --scope a --full-access",
        "issue --organization acme --name ci --full-access --expires-in SECRET",
        "issue --organization acme --name ci --full-access --expires-in 1d --expires-at 2999-01-01",
        "issue --organization acme --name ci --full-access --expires-at SECRET",
        "issue --organization acme --name ci --full-access --metadata SECRET",
        "issue --organization acme --name ci --full-access --network SECRET",
        "issue --organization acme --name ci --full-access --environment SECRET,",
        "issue --organization acme --name ci --full-access --prefix SECRET",
        "issue --organization acme --name ci --scope SECRET,",
        "issue --organization acme --full-access --name SECRETSECRETSECRET",
        "show --organization acme --id SECRET",
        "show --organization acme --id",
        "show --SECRET",
        "show",
        "list",
        "list --organization acme --all-organizations",
        "list --organization acme --status SECRET",
        "list --organization acme --limit SECRET",
        "list --organization acme --json=SECRET",
        "update --organization acme --id 00000000-0000-0000-0000-000000000001",
        "revoke SECRET",
        "revoke --yes --id 00000000-0000-0000-0000-000000000001",
        "revoke --yes --organization acme",
        "identify SECRET",
        "import",
        "import SECRET",
        "import file.csv --form SECRET",
        "purge --all-organizations --older-than SECRET --yes",
        "purge --all-organizations --yes",
        "erase --yes",
        "policy --organization acme --disable --enable",
        "policy --organization acme --max-key-age 1d --no-max-key-age",
        "migrate SECRET",
        "completions SECRET",
    ] {
        let mut command = program();
        command.env("DATABASE_URL", "sqlite:/nowhere/keys.db");
        command.args(arguments.split(' ').map(|argument| argument.replace("SECRET", SECRET)));
        let error = run(command, "").error(2);
        assert!(!error.contains(SECRET), "{arguments}: {error}");
    }
    let mut command = program();
    command.args(["import", "/nowhere/keys.csv", "--database", "sqlite::memory:"]);
    assert!(run(command, "").error(1).contains("cannot read the file"));
}

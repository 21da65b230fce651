-- Apart from the keys, so that usage is not listed as a changed key.
CREATE TABLE tower_api_key_usage (
    key TEXT NOT NULL PRIMARY KEY,
    last_used_at INTEGER NOT NULL,
    requests INTEGER NOT NULL
) STRICT;

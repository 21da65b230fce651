-- Apart from the keys, so that usage tells nobody that a key has changed.
CREATE TABLE tower_api_key_usage (
    key TEXT NOT NULL PRIMARY KEY,
    last_used_at INTEGER NOT NULL,
    requests INTEGER NOT NULL
) STRICT;

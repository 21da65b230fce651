-- Apart from the keys, so that usage tells nobody that a key has changed.
CREATE TABLE tower_api_key_usage (
    key text NOT NULL PRIMARY KEY,
    last_used_at bigint NOT NULL,
    requests bigint NOT NULL
);

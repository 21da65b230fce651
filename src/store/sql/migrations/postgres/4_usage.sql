-- Apart from the keys, so that usage is not notified as a changed key.
CREATE TABLE tower_api_key_usage (
    key text NOT NULL PRIMARY KEY,
    last_used_at bigint NOT NULL,
    requests bigint NOT NULL
);

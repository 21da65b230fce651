-- Times are Unix seconds. Full access is the word 'full' in "access"; no list of scopes, empty or not, means it.
CREATE TABLE tower_api_key_keys (
    id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    organization TEXT NOT NULL CHECK (length(organization) <= 128),
    name TEXT NOT NULL CHECK (length(name) <= 100),
    hint TEXT NOT NULL CHECK (length(hint) <= 23),
    access TEXT NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 33024),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    replaced_by TEXT,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL)
) STRICT;

CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys (organization, created_at DESC, id DESC);

-- A revoked row keeps its identity too: under another id or digest, it would leave its own to a row that is valid.
CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
WHEN old.revoked_at IS NOT NULL
    AND (new.id, new.digest, new.organization, new.revoked_at, new.replaced_by)
    IS NOT (old.id, old.digest, old.organization, old.revoked_at, old.replaced_by)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;

-- REPLACE would delete the revoked row first.
CREATE TRIGGER tower_api_key_keys_not_replaced BEFORE INSERT ON tower_api_key_keys
WHEN EXISTS (
    SELECT 1 FROM tower_api_key_keys WHERE (id = new.id OR digest = new.digest) AND revoked_at IS NOT NULL
)
BEGIN
    SELECT RAISE(IGNORE);
END;

-- UPDATE OR REPLACE would delete the revoked row as well.
CREATE TRIGGER tower_api_key_keys_not_taken_over BEFORE UPDATE ON tower_api_key_keys
WHEN EXISTS (
    SELECT 1 FROM tower_api_key_keys
    WHERE (id = new.id OR digest = new.digest OR rowid = new.rowid) AND rowid <> old.rowid AND revoked_at IS NOT NULL
)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key stays revoked');
END;

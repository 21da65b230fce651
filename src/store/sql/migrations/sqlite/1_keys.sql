-- Times are Unix seconds. Full access is the word 'full' in "access"; no list of scopes, empty or not, means it. "networks" is
-- '*' for anywhere, or a list that is never empty. "suspended" and "imported" are 0 or 1. A row without an organization is
-- what is left of an imported key after a purge: it keeps the digest from being imported again. "number" is the row's in the
-- index of texts.
CREATE TABLE tower_api_key_keys (
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    organization TEXT CHECK (length(organization) <= 128),
    name TEXT NOT NULL CHECK (length(name) <= 100),
    hint TEXT NOT NULL CHECK (length(hint) <= 23),
    environment TEXT CHECK (length(environment) BETWEEN 1 AND 32),
    access TEXT NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes TEXT NOT NULL CHECK (length(scopes) <= 33024),
    networks TEXT NOT NULL DEFAULT '*' CHECK (length(networks) BETWEEN 1 AND 5000),
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (length(metadata) <= 200000),
    created_at INTEGER NOT NULL,
    created_by TEXT CHECK (length(created_by) <= 256),
    imported INTEGER NOT NULL DEFAULT 0 CHECK (imported IN (0, 1)),
    suspended INTEGER NOT NULL DEFAULT 0 CHECK (suspended IN (0, 1)),
    expires_at INTEGER,
    revoked_at INTEGER,
    replaced_by TEXT,
    number INTEGER PRIMARY KEY,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL OR expires_at IS NOT NULL),
    CHECK (organization IS NOT NULL OR (revoked_at IS NOT NULL AND imported = 1))
) STRICT;

-- One for each way to list keys, the newest first, and those for a purge. The last columns of the first one are for counts.
CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys
    (organization, created_at DESC, id DESC, revoked_at, suspended, expires_at);
CREATE INDEX tower_api_key_keys_all ON tower_api_key_keys (created_at DESC, id DESC) WHERE organization IS NOT NULL;
CREATE INDEX tower_api_key_keys_environment ON tower_api_key_keys (organization, environment, created_at DESC, id DESC);
CREATE INDEX tower_api_key_keys_creator ON tower_api_key_keys (organization, created_by, created_at DESC, id DESC);
CREATE INDEX tower_api_key_keys_revoked ON tower_api_key_keys (organization, created_at DESC, id DESC)
    WHERE revoked_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_suspended ON tower_api_key_keys (organization, created_at DESC, id DESC)
    WHERE suspended = 1 AND revoked_at IS NULL;
CREATE INDEX tower_api_key_keys_lasting ON tower_api_key_keys (organization, created_at DESC, id DESC)
    WHERE suspended = 0 AND revoked_at IS NULL AND expires_at IS NULL;
CREATE INDEX tower_api_key_keys_ended ON tower_api_key_keys (organization, revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_expiring ON tower_api_key_keys (organization, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_all_ended ON tower_api_key_keys (revoked_at)
    WHERE revoked_at IS NOT NULL AND organization IS NOT NULL;
CREATE INDEX tower_api_key_keys_all_expiring ON tower_api_key_keys (expires_at)
    WHERE expires_at IS NOT NULL AND organization IS NOT NULL;

-- A revoked row keeps its identity too: under another id or digest, it would leave its own to a row that is valid. Without an
-- organization, it is a tombstone.
CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
WHEN old.revoked_at IS NOT NULL AND (
    (new.id, new.digest, new.revoked_at) IS NOT (old.id, old.digest, old.revoked_at)
    OR (new.organization IS NOT NULL AND
        (new.organization, new.replaced_by) IS NOT (old.organization, old.replaced_by))
)
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

-- Times are Unix seconds. Full access is the word 'full' in "access"; no list of scopes, empty or not, means it. "networks" is
-- '*' for anywhere, or a list that is never empty. "suspended" and "imported" are 0 or 1. A row without an organization is
-- what is left of an imported key after a purge: it keeps the digest from being imported again.
CREATE TABLE tower_api_key_keys (
    id text NOT NULL PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    organization text CHECK (length(organization) <= 128),
    name text NOT NULL CHECK (length(name) <= 100),
    hint text NOT NULL CHECK (length(hint) <= 23),
    environment text CHECK (length(environment) BETWEEN 1 AND 32),
    access text NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes text NOT NULL CHECK (length(scopes) <= 33024),
    networks text NOT NULL DEFAULT '*' CHECK (length(networks) BETWEEN 1 AND 5000),
    metadata text NOT NULL DEFAULT '{}' CHECK (length(metadata) <= 200000),
    created_at bigint NOT NULL,
    created_by text CHECK (length(created_by) <= 256),
    imported bigint NOT NULL DEFAULT 0 CHECK (imported IN (0, 1)),
    suspended bigint NOT NULL DEFAULT 0 CHECK (suspended IN (0, 1)),
    expires_at bigint,
    revoked_at bigint,
    replaced_by text,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL OR expires_at IS NOT NULL),
    CHECK (organization IS NOT NULL OR (revoked_at IS NOT NULL AND imported = 1))
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- One for each way to list keys, the newest first, and those for a purge. The order is that in which keys are added: an index
-- that grows at its end has full pages.
CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys (organization, created_at, id);
CREATE INDEX tower_api_key_keys_all ON tower_api_key_keys (created_at, id) WHERE organization IS NOT NULL;
CREATE INDEX tower_api_key_keys_environment ON tower_api_key_keys (organization, environment, created_at, id);
CREATE INDEX tower_api_key_keys_creator ON tower_api_key_keys (organization, created_by, created_at, id);
CREATE INDEX tower_api_key_keys_revoked ON tower_api_key_keys (organization, created_at, id)
    WHERE revoked_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_suspended ON tower_api_key_keys (organization, created_at, id)
    WHERE suspended = 1 AND revoked_at IS NULL;
-- Of all keys, by whether they are active for good. When most keys end, the index of these alone would keep its pages, and the
-- planner would read the table instead. By an expression, so that no other index has this order.
CREATE INDEX tower_api_key_keys_lasting ON tower_api_key_keys (organization,
    (CASE WHEN suspended = 0 AND revoked_at IS NULL AND expires_at IS NULL THEN 1 ELSE 0 END), (created_at + 0), id);
CREATE INDEX tower_api_key_keys_ended ON tower_api_key_keys (organization, revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_expiring ON tower_api_key_keys (organization, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX tower_api_key_keys_all_ended ON tower_api_key_keys (revoked_at)
    WHERE revoked_at IS NOT NULL AND organization IS NOT NULL;
CREATE INDEX tower_api_key_keys_all_expiring ON tower_api_key_keys (expires_at)
    WHERE expires_at IS NOT NULL AND organization IS NOT NULL;

-- A revoked row keeps its identity too: under another id or digest, it would leave its own to a row that is valid. Without an
-- organization, it is a tombstone.
CREATE FUNCTION tower_api_key_revoked_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revoked key stays revoked';
END
$$;

CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL AND (
    (new.id, new.digest, new.revoked_at) IS DISTINCT FROM (old.id, old.digest, old.revoked_at)
    OR (new.organization IS NOT NULL AND
        (new.organization, new.replaced_by) IS DISTINCT FROM (old.organization, old.replaced_by))
))
EXECUTE FUNCTION tower_api_key_revoked_for_good();

-- Times are Unix seconds. Full access is the word 'full' in "access"; no list of scopes, empty or not, means it.
CREATE TABLE tower_api_key_keys (
    id text NOT NULL PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    organization text NOT NULL CHECK (length(organization) <= 128),
    name text NOT NULL CHECK (length(name) <= 100),
    hint text NOT NULL CHECK (length(hint) <= 23),
    access text NOT NULL CHECK (access IN ('full', 'scoped')),
    scopes text NOT NULL CHECK (length(scopes) <= 33024),
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    replaced_by text,
    CHECK (replaced_by IS NULL OR revoked_at IS NOT NULL)
);

CREATE INDEX tower_api_key_keys_listing ON tower_api_key_keys (organization, created_at DESC, id DESC);

-- A revoked row keeps its identity too: under another id or digest, it would leave its own to a row that is valid.
CREATE FUNCTION tower_api_key_revoked_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revoked key stays revoked';
END
$$;

CREATE TRIGGER tower_api_key_keys_revoked_for_good BEFORE UPDATE ON tower_api_key_keys
FOR EACH ROW WHEN (old.revoked_at IS NOT NULL AND
    (new.id, new.digest, new.organization, new.revoked_at, new.replaced_by)
    IS DISTINCT FROM (old.id, old.digest, old.organization, old.revoked_at, old.replaced_by))
EXECUTE FUNCTION tower_api_key_revoked_for_good();

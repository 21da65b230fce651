-- Notifies every process of a change, whatever program made it. The payload is the id of a key, "@" and an organization, or
-- "*" for anything. Each schema has a channel of its own.
CREATE FUNCTION tower_api_key_notify_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tower_api_key_' || md5(TG_TABLE_SCHEMA), old.id);
    RETURN NULL;
END
$$;

CREATE FUNCTION tower_api_key_notify_organization() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    channel text := 'tower_api_key_' || md5(TG_TABLE_SCHEMA);
BEGIN
    -- The same payload twice in a transaction is notified once.
    IF TG_OP <> 'INSERT' AND old IS DISTINCT FROM new THEN
        PERFORM pg_notify(channel, '@' || old.organization);
    END IF;
    IF TG_OP <> 'DELETE' AND old IS DISTINCT FROM new THEN
        PERFORM pg_notify(channel, '@' || new.organization);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION tower_api_key_notify_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tower_api_key_' || md5(TG_TABLE_SCHEMA), '*');
    RETURN NULL;
END
$$;

CREATE TRIGGER tower_api_key_keys_changed AFTER UPDATE OR DELETE ON tower_api_key_keys
FOR EACH ROW EXECUTE FUNCTION tower_api_key_notify_key();

CREATE TRIGGER tower_api_key_keys_truncated AFTER TRUNCATE ON tower_api_key_keys
FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_notify_all();

CREATE TRIGGER tower_api_key_organizations_changed AFTER INSERT OR UPDATE OR DELETE ON tower_api_key_organizations
FOR EACH ROW EXECUTE FUNCTION tower_api_key_notify_organization();

CREATE TRIGGER tower_api_key_organizations_truncated AFTER TRUNCATE ON tower_api_key_organizations
FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_notify_all();

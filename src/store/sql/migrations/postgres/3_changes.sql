-- Notifies every process of a changed key, whatever program changed it. The payload is the id of the key, or '*' for more
-- than one key. Each schema has a channel of its own.
CREATE FUNCTION tower_api_key_notify_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tower_api_key_' || md5(TG_TABLE_SCHEMA), old.id);
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

CREATE TRIGGER tower_api_key_organizations_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tower_api_key_organizations
FOR EACH STATEMENT EXECUTE FUNCTION tower_api_key_notify_all();

-- Lists changed keys for other processes, whatever program changed them: "key" is the id, or NULL for more than one key.
-- Only the latest changes are kept. A process that has missed one forgets everything.
CREATE TABLE tower_api_key_changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key TEXT
) STRICT;

CREATE TRIGGER tower_api_key_changes_pruned AFTER INSERT ON tower_api_key_changes
BEGIN
    DELETE FROM tower_api_key_changes WHERE seq <= new.seq - 1000;
END;

CREATE TRIGGER tower_api_key_keys_updated AFTER UPDATE ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_changes (key) VALUES (old.id);
END;

CREATE TRIGGER tower_api_key_keys_deleted AFTER DELETE ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_changes (key) VALUES (old.id);
END;

CREATE TRIGGER tower_api_key_organizations_inserted AFTER INSERT ON tower_api_key_organizations
BEGIN
    INSERT INTO tower_api_key_changes (key) VALUES (NULL);
END;

CREATE TRIGGER tower_api_key_organizations_updated AFTER UPDATE ON tower_api_key_organizations
BEGIN
    INSERT INTO tower_api_key_changes (key) VALUES (NULL);
END;

CREATE TRIGGER tower_api_key_organizations_deleted AFTER DELETE ON tower_api_key_organizations
BEGIN
    INSERT INTO tower_api_key_changes (key) VALUES (NULL);
END;

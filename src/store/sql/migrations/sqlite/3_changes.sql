-- Lists changes for other processes, whatever program made them. "subject" is the id of a key, or "@" and an organization.
-- Only the latest changes are kept. A process that has missed one forgets everything.
CREATE TABLE tower_api_key_changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL
) STRICT;

CREATE TRIGGER tower_api_key_changes_pruned AFTER INSERT ON tower_api_key_changes
BEGIN
    DELETE FROM tower_api_key_changes WHERE seq <= new.seq - 1000;
END;

CREATE TRIGGER tower_api_key_keys_updated AFTER UPDATE ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_changes (subject) VALUES (old.id);
END;

CREATE TRIGGER tower_api_key_keys_deleted AFTER DELETE ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_changes (subject) VALUES (old.id);
END;

CREATE TRIGGER tower_api_key_organizations_inserted AFTER INSERT ON tower_api_key_organizations
BEGIN
    INSERT INTO tower_api_key_changes (subject) VALUES ('@' || new.organization);
END;

CREATE TRIGGER tower_api_key_organizations_updated AFTER UPDATE ON tower_api_key_organizations
WHEN (new.organization, new.max_key_age, new.disabled) IS NOT (old.organization, old.max_key_age, old.disabled)
BEGIN
    INSERT INTO tower_api_key_changes (subject) VALUES ('@' || old.organization);
    INSERT INTO tower_api_key_changes (subject)
    SELECT '@' || new.organization WHERE new.organization IS NOT old.organization;
END;

CREATE TRIGGER tower_api_key_organizations_deleted AFTER DELETE ON tower_api_key_organizations
BEGIN
    INSERT INTO tower_api_key_changes (subject) VALUES ('@' || old.organization);
END;

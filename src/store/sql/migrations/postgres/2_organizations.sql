-- The policies of organizations. "max_key_age" is in seconds, "disabled" 0 or 1.
CREATE TABLE tower_api_key_organizations (
    organization text NOT NULL PRIMARY KEY CHECK (length(organization) <= 128),
    max_key_age bigint CHECK (max_key_age >= 0),
    disabled bigint NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1))
);

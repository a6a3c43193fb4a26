-- What users and keys may do. The column admin said it before, and stays for
-- replicas of the release before. permissions and spaces are joined by commas,
-- empty for all. Keys that were made before there were roles go on sending,
-- reading and registering profiles; so do users.

ALTER TABLE users ADD COLUMN role        TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN spaces      TEXT NOT NULL DEFAULT '';
UPDATE users SET role = CASE WHEN admin THEN 'admin' ELSE 'editor' END;

ALTER TABLE api_keys ADD COLUMN role        TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN spaces      TEXT NOT NULL DEFAULT '';
UPDATE api_keys SET role = CASE WHEN admin THEN 'admin' ELSE 'editor' END;

-- A standing session has no refresh tokens: it is that of clients which keep their
-- access token and nothing else. All of a user's share one.
ALTER TABLE sessions ADD COLUMN standing BOOLEAN NOT NULL DEFAULT FALSE;

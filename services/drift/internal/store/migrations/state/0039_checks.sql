-- checks: the profile has some, and so its records are looked for among theirs.
ALTER TABLE profiles ADD COLUMN checks BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX profiles_checks ON profiles (tenant, space) WHERE checks;

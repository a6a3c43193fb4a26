-- service is that of the spans which observations are made of, '' for profiles
-- whose observations are sent.
ALTER TABLE profiles ADD COLUMN service TEXT NOT NULL DEFAULT '';
CREATE INDEX profiles_service ON profiles (tenant, service) WHERE service <> '';

-- A feed has a row from the beginning: first and last are 0 while nothing came, and
-- watched is since when something could have.
INSERT INTO feeds (profile, tenant, first, last, watched, gaps)
SELECT s.profile, s.tenant, 0, 0, s.previous, '{}' FROM schedules s
WHERE NOT EXISTS (SELECT 1 FROM feeds f WHERE f.profile = s.profile);

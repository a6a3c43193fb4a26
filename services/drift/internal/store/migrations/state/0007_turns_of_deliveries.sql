-- Deliveries of a route by tenant, as they are claimed: tenants in turn, and of
-- each what is due longest.
CREATE INDEX deliveries_turn ON deliveries (route, tenant, due, sequence) WHERE state = 'waiting';
DROP INDEX deliveries_due;

-- What tenants may use, where that is not the default: JSON, limit to value. A
-- number is higher than all that were committed before it. A row stays when
-- everything is the default again, for those who have to hear of it.
CREATE TABLE tenant_limits (
    tenant TEXT   PRIMARY KEY REFERENCES tenants (name),
    number BIGINT NOT NULL,
    own    TEXT   NOT NULL
);

CREATE INDEX tenant_limits_by_number ON tenant_limits (number);

CREATE TABLE tenant_limits_head (
    id     BIGINT PRIMARY KEY,
    number BIGINT NOT NULL
);

INSERT INTO tenant_limits_head (id, number) VALUES (1, 0);

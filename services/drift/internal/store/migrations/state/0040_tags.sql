-- Words about things that somebody sent by themselves.
CREATE TABLE tags (
    tenant      TEXT   NOT NULL,
    entity_type TEXT   NOT NULL,
    entity_id   TEXT   NOT NULL,
    tag         TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    set_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, entity_type, entity_id, tag)
);
CREATE INDEX tags_by_value ON tags (tenant, entity_type, tag, value);
CREATE INDEX tags_by_time ON tags (entity_type, set_at);

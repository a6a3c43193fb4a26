-- What profiles were made from, where that is the document of another system: as it
-- came. It is apart from the profiles, which are read oftener.
CREATE TABLE profile_origins (
    profile  TEXT  PRIMARY KEY,
    format   TEXT  NOT NULL,
    document BYTEA NOT NULL
);

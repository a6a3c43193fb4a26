-- A record may say how many values of a feature fell into one of its bins, counted by
-- whoever saw them. CountedFeature is the feature's position in the profile, from 1,
-- and 0 for all other records; CountedBin is the bin's, from 0. Such a record has no
-- Numbers and no Categories.
ALTER TABLE observations {{on_cluster}}
    ADD COLUMN IF NOT EXISTS CountedFeature UInt16 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS CountedBin UInt16 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Counted UInt64 CODEC(ZSTD(1));

-- Cells: what is known of one window (a UTC minute of event time) of one
-- profile, one row per feature. Always computed whole from observations, so any
-- number of rows for one window may exist; the one with the greatest Version is
-- right (package window says why), and readers use FINAL.
--
-- Feature is the position in the profile. Counts and Exemplars have an element
-- for each bin: the regular ones, then missing, nan, +inf, -inf, other. Records
-- is how many records the window has; it is the same for every feature.
CREATE TABLE IF NOT EXISTS cells {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    Feature UInt16 CODEC(ZSTD(1)),
    Counts Array(UInt64) CODEC(ZSTD(1)),
    Exemplars Array(Array(UInt64)) CODEC(ZSTD(1)),
    Records UInt64 CODEC(ZSTD(1)),
    Version UInt128 CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
ORDER BY (Tenant, Profile, Minute, Feature);

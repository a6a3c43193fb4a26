-- Product cells: exact sums of what a group of features of a profile has in one
-- window, for detectors of several features together (ADR 30). As with cells, any
-- number of rows for one window may exist, and the one with the greatest Version
-- is right; read FINAL.
--
-- Number is the group's position in the profile. Complete and Incomplete count
-- records that have a finite value of every feature, and others. Sums are, over the
-- complete ones, those of the standardised values of each feature in units of
-- 2^-32 of the reference's standard deviations, and then those of the products of the
-- first with itself and each after it, of the second, and so on.
CREATE TABLE IF NOT EXISTS product_cells {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    Number UInt8,
    Complete UInt64 CODEC(ZSTD(1)),
    Incomplete UInt64 CODEC(ZSTD(1)),
    Sums Array(Int128) CODEC(ZSTD(1)),
    Version UInt128 CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
ORDER BY (Tenant, Profile, Minute, Number);

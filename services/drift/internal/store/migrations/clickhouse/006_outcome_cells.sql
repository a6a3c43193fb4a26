-- Outcome cells: how predictions of one window compare with what came true, for
-- profiles with an outcome. As with cells, any number of rows for one window may
-- exist, and the one with the greatest Version is right; read FINAL.
--
-- Counts are right, wrong, true positive, false positive, false negative and
-- true negative predictions of a category. Positives and Negatives count rows by
-- bin of the score. Absolute and Squared are the exact sums of |e| and e² of
-- numbers (package exact): bucket, number, Σx and Σx² in units of the bucket.
CREATE TABLE IF NOT EXISTS outcome_cells {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    Counts Array(UInt64) CODEC(ZSTD(1)),
    Positives Array(UInt64) CODEC(ZSTD(1)),
    Negatives Array(UInt64) CODEC(ZSTD(1)),
    Absolute Array(Tuple(UInt16, UInt64, Int128, Int256)) CODEC(ZSTD(1)),
    Squared Array(Tuple(UInt16, UInt64, Int128, Int256)) CODEC(ZSTD(1)),
    Version UInt128 CODEC(ZSTD(1))
)
ENGINE = {{replicated}}ReplacingMergeTree(Version)
ORDER BY (Tenant, Profile, Minute);

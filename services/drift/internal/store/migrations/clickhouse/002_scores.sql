-- Scores: results of evaluations, one row per feature and detector. The key is
-- the profile and the slot, so a repeated evaluation replaces its result; the
-- last one written is right. Trigger says what the slot is of: 'schedule' or
-- 'close' of a window. Counts has all bins, Contributions the regular ones;
-- Exemplars is JSON, a list of records for each bin, empty where nothing moved.
CREATE TABLE IF NOT EXISTS scores {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Slot DateTime64(6, 'UTC'),
    Trigger LowCardinality(String),
    Feature UInt16,
    Detector LowCardinality(String),
    RangeStart DateTime64(6, 'UTC'),
    RangeEnd DateTime64(6, 'UTC'),
    Records UInt64,
    Verdict LowCardinality(String),
    Value Float64,
    Threshold Float64,
    Sample UInt64,
    Minimum UInt64,
    Counts Array(UInt64) CODEC(ZSTD(1)),
    Contributions Array(Float64) CODEC(ZSTD(1)),
    Exemplars String CODEC(ZSTD(1)),
    Evaluated DateTime64(9, 'UTC')
)
ENGINE = {{replicated}}ReplacingMergeTree(Evaluated)
ORDER BY (Tenant, Profile, Slot, Trigger, Feature, Detector);

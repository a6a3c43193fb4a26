-- Scores by monitor: the table scores with the monitor in its key, which a table
-- cannot take in later. What scores holds was found by the one monitor that its
-- profile has now, psi. Numbers that there are not are NaN: Threshold of no value
-- of the statistic, Lower downwards, P the p-value, Adjusted over all of the
-- evaluation, Rate the significance that it was held against.
CREATE TABLE IF NOT EXISTS monitor_scores {{on_cluster}}
(
    Tenant LowCardinality(String),
    Profile UUID,
    Slot DateTime64(6, 'UTC'),
    Trigger LowCardinality(String),
    Monitor LowCardinality(String),
    Feature UInt16,
    Detector LowCardinality(String),
    RangeStart DateTime64(6, 'UTC'),
    RangeEnd DateTime64(6, 'UTC'),
    Records UInt64,
    Verdict LowCardinality(String),
    Value Float64,
    Threshold Float64,
    Lower Float64,
    P Float64,
    Adjusted Float64,
    Rate Float64,
    Sample UInt64,
    Reference UInt64,
    Minimum UInt64,
    Counts Array(UInt64) CODEC(ZSTD(1)),
    Contributions Array(Float64) CODEC(ZSTD(1)),
    Exemplars String CODEC(ZSTD(1)),
    Evaluated DateTime64(9, 'UTC')
)
ENGINE = {{replicated}}ReplacingMergeTree(Evaluated)
ORDER BY (Tenant, Profile, Slot, Trigger, Monitor, Feature);

INSERT INTO monitor_scores
SELECT Tenant, Profile, Slot, Trigger, 'psi', Feature, Detector, RangeStart, RangeEnd, Records, Verdict, Value, Threshold,
    nan, nan, nan, nan, Sample, 0, Minimum, Counts, Contributions, Exemplars, Evaluated
FROM scores FINAL;

-- Measures: what is known of the finite values of a numeric feature besides its
-- bins. Measured is a set of bits that says what a row has: 1 the latest event
-- time and the measures of every number, 2 deviations, 4 sub-groups. Rows from
-- before have 0, and what they lack is unknown, not 0 (ADR 19).
--
-- Last is the latest event time of the window. Below and Above count values
-- beyond the reference's range; Least and Greatest are +Inf and -Inf where there
-- is no value. Sums and Squares are exact: element i is the sum of x, and of its
-- square, over the values of bucket Buckets[i], in units of 2^(32·bucket - 1074)
-- (package exact); what is not there is 0, so that sumMap adds them up. The same
-- of |x - c|, with the reference's median for c. Groups has the number of finite
-- values of each sub-group in order, GroupMeans and GroupDeviations their means
-- and standard deviations.
--
-- Summing weeks of counts was unpacking ZSTD, three times the work of the rest;
-- T64 makes them as small.
ALTER TABLE cells {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Measured UInt8 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Last DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Below UInt64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Above UInt64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Least Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Greatest Float64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Buckets Array(UInt16) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Sums Array(Int128) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Squares Array(Int256) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS DeviationBuckets Array(UInt16) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS DeviationSums Array(Int128) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS DeviationSquares Array(Int256) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS Groups Array(UInt32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS GroupMeans Array(Float64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS GroupDeviations Array(Float64) CODEC(ZSTD(1)),
    MODIFY COLUMN Counts Array(UInt64) CODEC(T64, LZ4);

-- Errors is the number of errors of numbers, and their sums are kept as those of
-- cells: element i of Sums is the sum over the values of bucket Buckets[i], of
-- Squares that of their squares.
ALTER TABLE outcome_cells {{on_cluster}}
    DROP COLUMN IF EXISTS Absolute,
    DROP COLUMN IF EXISTS Squared,
    ADD COLUMN IF NOT EXISTS Errors UInt64 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS AbsoluteBuckets Array(UInt16) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS AbsoluteSums Array(Int128) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS AbsoluteSquares Array(Int256) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS SquaredBuckets Array(UInt16) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS SquaredSums Array(Int128) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS SquaredSquares Array(Int256) CODEC(ZSTD(1));

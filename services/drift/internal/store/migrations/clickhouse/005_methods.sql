-- Judged is what P and Threshold belong to where that is not Value, else NaN;
-- Method says where P comes from, Caveats what to know about the numbers.
ALTER TABLE monitor_scores {{on_cluster}}
    ADD COLUMN IF NOT EXISTS Judged Float64 DEFAULT nan AFTER Value,
    ADD COLUMN IF NOT EXISTS Method LowCardinality(String) AFTER Rate,
    ADD COLUMN IF NOT EXISTS Caveats Array(LowCardinality(String)) AFTER Method;

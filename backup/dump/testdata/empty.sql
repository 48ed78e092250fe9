-- Patina SQL dump 1
-- database: 
-- taken: 0001-01-01T00:00:00Z   job: none   consistency: see footer
-- bookmark: see footer
-- tables: 0   rows: 0
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
COMMIT;
PRAGMA foreign_keys=ON;
-- tables: 0   rows: 0   body-bytes: 76   duration: 0.000s
-- consistency: none   bookmark-after: none
-- body-sha256: 58259d4324689be17c629ac57146c2ff3566f48d48c898f64052284a0cab1aa5
-- file-sha256: 43f2757d5894c9fad76c7e7929ce8198aae7e9995b1da7f3baece3c4df4510da

-- Answers per table of schema $1 a number that changes when rows come or go, so
-- that only tables that have changed are counted again.
SELECT relname::text, n_tup_ins + n_tup_del FROM pg_stat_user_tables WHERE schemaname = $1

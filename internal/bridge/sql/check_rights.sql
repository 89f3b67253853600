-- Why: everything that a run will create needs a right, and a role of its own
-- should have no more than these. $1 is the schema of the mapped tables, $2 what
-- they and the trigger log are called; others may have other tables beside them.
SELECT has_database_privilege(current_database(), 'CREATE') AS create_schemas,
    (SELECT array_agg(wanted ORDER BY wanted) FROM unnest(ARRAY[$1::text, 'hcbridge']) AS wanted
     WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted)) AS absent,
    (SELECT array_agg(nspname::text ORDER BY nspname) FROM pg_namespace
     WHERE nspname IN ($1, 'hcbridge') AND NOT has_schema_privilege(oid, 'CREATE, USAGE')) AS closed,
    (SELECT array_agg(nspname || '.' || relname ORDER BY 1) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE (nspname = $1 AND relname = ANY ($2::text[]) OR nspname = 'hcbridge') AND relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE')) AS foreign_tables,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'hstore') AS hstore,
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore') AS hstore_available,
    EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'hstore' AND trusted) AND has_database_privilege(current_database(), 'CREATE')
        OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS hstore_creatable,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
    current_user::text AS role,
    (SELECT count(DISTINCT pid)::int FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND application_name NOT LIKE 'hcbridge%') AS others,
    current_setting('temp_file_limit') AS temp_file_limit,
    -- They fire at what we write as well, with our rights where they do not have their own.
    (SELECT array_agg(t.tgname || ' of ' || c.relname ORDER BY 1) FROM pg_trigger AS t
     JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_proc AS p ON p.oid = t.tgfoid
     WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
        AND NOT p.prosecdef AND p.pronamespace <> 'pg_catalog'::regnamespace AND NOT pg_has_role(p.proowner, 'USAGE')
        AND t.tgname NOT LIKE 'hc\_%\_status\_trigger' AND t.tgname NOT LIKE 'hc\_%\_logtrigger') AS triggers

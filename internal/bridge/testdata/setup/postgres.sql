-- A role of its own for hcbridge, with what it needs and nothing more.
-- Run this once, as a superuser or as the owner of the database with CREATEROLE,
-- connected to the database "shop". Choose a password first.

CREATE ROLE "bridge" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'choose-one';
-- Whoever is no superuser must be a member of the role to give it something.
GRANT "bridge" TO CURRENT_USER;
GRANT CONNECT ON DATABASE "shop" TO "bridge";
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
GRANT USAGE ON SCHEMA public TO "bridge";

-- The mapped tables, and the bridge's own state.
CREATE SCHEMA IF NOT EXISTS "sf" AUTHORIZATION "bridge";
CREATE SCHEMA IF NOT EXISTS hcbridge AUTHORIZATION "bridge";

-- Only where a schema of Heroku Connect is taken over: it must own the tables,
-- to add columns and triggers to them.
--   ALTER SCHEMA "sf" OWNER TO "bridge";
--   SELECT format('ALTER TABLE %s OWNER TO "bridge";', oid::regclass) FROM pg_class
--     WHERE relnamespace = '"sf"'::regnamespace AND relkind IN ('r', 'p') \gexec
--   SELECT format('ALTER FUNCTION %s OWNER TO "bridge";', oid::regprocedure) FROM pg_proc
--     WHERE pronamespace = '"sf"'::regnamespace \gexec

-- The app has another role, which reads and writes the tables that the bridge
-- makes: put its name in the place of "app", twice. Capture works without
-- rights on the trigger log; those on it are for the app's own error handling.
GRANT USAGE ON SCHEMA "sf" TO "app";
ALTER DEFAULT PRIVILEGES FOR ROLE "bridge" IN SCHEMA "sf"
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "app";

REVOKE "bridge" FROM CURRENT_USER;

-- A role of its own for hcbridge, with what it needs and nothing more.
-- Run this once, as a superuser or as the owner of the database with CREATEROLE,
-- connected to the database {{.Database}}. Choose a password first.

CREATE ROLE {{.Role}} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD 'choose-one';
-- Whoever is no superuser must be a member of the role to give it something.
GRANT {{.Role}} TO CURRENT_USER;
GRANT CONNECT ON DATABASE {{.Database}} TO {{.Role}};
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
GRANT USAGE ON SCHEMA public TO {{.Role}};

-- The mapped tables, and the bridge's own state.
CREATE SCHEMA IF NOT EXISTS {{.Schema}} AUTHORIZATION {{.Role}};
CREATE SCHEMA IF NOT EXISTS hcbridge AUTHORIZATION {{.Role}};

-- Only where a schema of Heroku Connect is taken over: it must own the tables,
-- to add columns and triggers to them.
--   ALTER SCHEMA {{.Schema}} OWNER TO {{.Role}};
--   SELECT format('ALTER TABLE %s OWNER TO {{.Role}};', oid::regclass) FROM pg_class
--     WHERE relnamespace = '{{.Schema}}'::regnamespace AND relkind IN ('r', 'p') \gexec
--   SELECT format('ALTER FUNCTION %s OWNER TO {{.Role}};', oid::regprocedure) FROM pg_proc
--     WHERE pronamespace = '{{.Schema}}'::regnamespace \gexec

-- The app has another role, which reads and writes the tables that the bridge
-- makes: put its name in the place of {{.App}}, twice. Capture works without
-- rights on the trigger log; those on it are for the app's own error handling.
GRANT USAGE ON SCHEMA {{.Schema}} TO {{.App}};
ALTER DEFAULT PRIVILEGES FOR ROLE {{.Role}} IN SCHEMA {{.Schema}}
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {{.App}};

REVOKE {{.Role}} FROM CURRENT_USER;

-- Where the schema was when its identity was looked at last: a copy of the server's
-- files has the same cluster and database. See internal/bridge/identity.go.
ALTER TABLE hcbridge.instance
    ADD COLUMN address text,        -- of the server and database, as DATABASE_URL names them, without credentials
    ADD COLUMN started timestamptz, -- when the server was started
    ADD COLUMN timeline text;       -- grows when a standby takes over; NULL = the server does not tell

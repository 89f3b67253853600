-- What is left of the API calls that writes may cost, so that a restart does not
-- begin a new day. See the outbox's governor.
CREATE TABLE hcbridge.purse (
    schema text PRIMARY KEY,
    calls double precision NOT NULL, -- below zero: overdrawn
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

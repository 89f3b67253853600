-- How far Salesforce's clock was ahead of this server's, each time that this had
-- changed: one of the two was set. See internal/bridge/clock.go.
CREATE TABLE hcbridge.clock (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema text NOT NULL,
    ahead double precision NOT NULL, -- seconds
    until timestamptz -- when it was no longer so; NULL = it is so now
);

-- Notes for schema $1 that Salesforce's clock shows $2 now, and returns by how many
-- seconds it has gained on ours in the last $3 seconds: nobody counted them.
WITH at AS MATERIALIZED (
    SELECT extract(epoch FROM $2::timestamptz - clock_timestamp())::double precision AS ahead
), ended AS (
    UPDATE hcbridge.clock AS c SET until = clock_timestamp() FROM at
    WHERE c.schema = $1 AND c.until IS NULL AND abs(c.ahead - at.ahead) > 5
    RETURNING c.id
), noted AS (
    INSERT INTO hcbridge.clock (schema, ahead)
    SELECT $1, ahead FROM at
    WHERE EXISTS (SELECT FROM ended) OR NOT EXISTS (SELECT FROM hcbridge.clock WHERE schema = $1 AND until IS NULL)
), forgotten AS (
    DELETE FROM hcbridge.clock WHERE schema = $1 AND until < clock_timestamp() - interval '1 day'
)
SELECT greatest(at.ahead - (
    SELECT min(c.ahead) FROM hcbridge.clock AS c
    WHERE c.schema = $1 AND (c.until IS NULL OR c.until > clock_timestamp() - make_interval(secs => $3::double precision))
), 0) FROM at;

WITH n AS MATERIALIZED (
    SELECT u.sfid::varchar AS sfid, u.kind, u.seq,
        u.v0::character varying AS v0,
        u.v1::character varying AS v1,
        u.v2::double precision AS v2,
        u.v3::timestamp without time zone AS v3,
        u.v4::boolean AS v4
    FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
        AS u (sfid, kind, seq, v0, v1, v2, v3, v4)
),
m AS MATERIALIZED (
    SELECT n.*, r.id AS row_id, r.xmin AS row_version,
        CASE
            WHEN n.seq <> 0 AND NOT EXISTS (
                SELECT FROM hcbridge.mark AS k
                WHERE k.schema = $1 AND k.object = $2 AND k.sfid = n.sfid
                    AND CASE n.kind WHEN 'delete' THEN k.seq = n.seq ELSE k.barrier <= n.seq END) THEN 'superseded'
            WHEN n.kind = 'delete' AND r.id IS NULL THEN 'same'
            WHEN n.kind <> 'delete' AND r."systemmodstamp" > n.v3 THEN 'stale'
            WHEN r.sfid IS NULL AND n.seq = 0 AND n.kind <> 'delete' AND (SELECT true FROM hcbridge.gone AS g WHERE g.schema = $1 AND g.object = $2 AND g.sfid = n.sfid) THEN 'equal'
            WHEN r.id IS NULL THEN 'insert'
            WHEN n.kind = 'delete' AND r."systemmodstamp" >= n.v3 THEN 'equal'
            WHEN n.kind = 'delete' THEN 'delete'
            WHEN n.kind <> 'known' AND r."systemmodstamp" = n.v3 AND ROW(r."name", r."ext__c", r."amount__c", r."systemmodstamp", r."isdeleted") IS DISTINCT FROM ROW(n.v0, n.v1, n.v2, n.v3, n.v4) THEN 'equal'
            WHEN ROW(r."name", r."ext__c", r."amount__c", r."systemmodstamp", r."isdeleted") IS DISTINCT FROM ROW(n.v0, n.v1, n.v2, n.v3, n.v4) THEN 'update'
            WHEN n.kind IN ('read', 'known', 'foreign') AND r._hc_lastop IN ('PENDING', 'INSERTED', 'UPDATED') THEN 'update'
            ELSE 'same'
        END AS verdict
    FROM n
    LEFT JOIN "salesforce"."account" AS r ON r.sfid = n.sfid
),
locked AS MATERIALIZED (
    SELECT m.* FROM "salesforce"."account" AS t JOIN m ON m.row_id = t.id
    WHERE m.verdict = 'update' AND t.xmin = m.row_version
    FOR NO KEY UPDATE OF t SKIP LOCKED
),
seized AS MATERIALIZED (
    SELECT m.* FROM "salesforce"."account" AS t JOIN m ON m.row_id = t.id
    WHERE m.verdict = 'delete' AND t.xmin = m.row_version
    FOR UPDATE OF t SKIP LOCKED
),
was AS MATERIALIZED (
    SELECT m.sfid, (SELECT g.row_id FROM hcbridge.gone AS g
        WHERE g.schema = $1 AND g.object = $2 AND g.sfid = m.sfid
            AND NOT EXISTS (SELECT FROM "salesforce"."account" AS t WHERE t.id = g.row_id)) AS id
    FROM m WHERE m.verdict = 'insert'
),
created AS (
    INSERT INTO "salesforce"."account" AS t ("name", "ext__c", "amount__c", "systemmodstamp", "isdeleted", sfid, _hc_lastop)
    SELECT m.v0, m.v1, m.v2, m.v3, m.v4, m.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
revived AS (
    INSERT INTO "salesforce"."account" AS t ("name", "ext__c", "amount__c", "systemmodstamp", "isdeleted", id, sfid, _hc_lastop)
    OVERRIDING SYSTEM VALUE
    SELECT m.v0, m.v1, m.v2, m.v3, m.v4, was.id, m.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NOT NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
updated AS (
    UPDATE "salesforce"."account" AS t
    SET "name" = m.v0,
        "ext__c" = m.v1,
        "amount__c" = m.v2,
        "systemmodstamp" = m.v3,
        "isdeleted" = m.v4,
        _hc_lastop = 'SYNCED',
        _hc_err = NULL
    FROM locked AS m
    WHERE t.id = m.row_id
    RETURNING m.sfid
),
deleted AS (
    DELETE FROM "salesforce"."account" AS t
    USING seized AS m
    WHERE m.verdict = 'delete' AND t.id = m.row_id
    RETURNING m.sfid
),
written AS (
    SELECT sfid FROM created UNION ALL SELECT sfid FROM revived
    UNION ALL SELECT sfid FROM updated UNION ALL SELECT sfid FROM deleted
),
o AS MATERIALIZED (
    SELECT m.sfid, CASE
            WHEN m.verdict IN ('insert', 'update', 'delete') AND m.sfid NOT IN (
                SELECT sfid FROM written
            ) THEN CASE
                WHEN m.verdict = 'insert' THEN 'unmade'
                WHEN m.sfid IN (SELECT sfid FROM locked UNION ALL SELECT sfid FROM seized) THEN 'swallowed'
                ELSE 'held' END
            ELSE m.verdict
        END AS verdict
    FROM m
),
marked AS (
    INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
    SELECT $1, $2, o.sfid, CASE o.verdict WHEN 'equal' THEN 'equal' ELSE 'held' END,
        CASE o.verdict WHEN 'equal' THEN now() ELSE now() + interval '250 milliseconds' END
    FROM o
    WHERE o.verdict IN ('held', 'unmade', 'swallowed', 'equal')
    ORDER BY o.sfid
    ON CONFLICT (schema, object, sfid) DO UPDATE
    SET seq = nextval('hcbridge.mark_seq'),
        reason = CASE WHEN k.reason IN ('gone', 'removed') THEN 'gone' ELSE excluded.reason END, -- as Mark does
        due_at = CASE excluded.reason
            WHEN 'held' THEN now() + interval '250 milliseconds' * 2 ^ least(k.attempts + 1, 5)
            ELSE excluded.due_at
        END,
        attempts = CASE excluded.reason WHEN 'held' THEN k.attempts + 1 ELSE 0 END
    RETURNING 1
),
buried AS (
    INSERT INTO hcbridge.gone AS g (schema, object, sfid, row_id)
    SELECT $1, $2, m.sfid, m.row_id FROM m
    WHERE m.kind = 'delete' AND m.verdict IN ('delete', 'same') AND (SELECT count(*) FROM marked) >= 0
    ORDER BY m.sfid
    ON CONFLICT (schema, object, sfid) DO UPDATE
    SET at = now(), row_id = coalesce(excluded.row_id, g.row_id)
),
cleared AS (
    DELETE FROM hcbridge.read_error AS e
    WHERE e.schema = $1 AND e.object = $2 AND e.sfid = ANY (ARRAY(
        SELECT o.sfid FROM o WHERE o.verdict IN ('insert', 'update', 'delete', 'same') AND (SELECT count(*) FROM marked) >= 0))
)
SELECT verdict, count(*), array_agg(sfid) FILTER (WHERE verdict IN ('unmade', 'swallowed')) FROM o GROUP BY verdict

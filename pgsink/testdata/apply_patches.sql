WITH n AS MATERIALIZED (
    SELECT u.sfid::varchar AS sfid, u.kind, u.seq,
        CASE substr(u.has, 1, 1) WHEN '1' THEN u.v0::character varying ELSE p."name" END AS v0,
        CASE substr(u.has, 2, 1) WHEN '1' THEN u.v1::character varying ELSE p."ext__c" END AS v1,
        CASE substr(u.has, 3, 1) WHEN '1' THEN u.v2::double precision ELSE p."amount__c" END AS v2,
        u.v3::timestamp without time zone AS v3,
        CASE substr(u.has, 5, 1) WHEN '1' THEN u.v4::boolean ELSE p."isdeleted" END AS v4
    FROM unnest($3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
        AS u (sfid, kind, seq, has, v0, v1, v2, v3, v4)
    LEFT JOIN "salesforce"."account" AS p ON p.sfid = u.sfid
),
hits AS MATERIALIZED (
    SELECT n.*, own.id AS own_id, free.id AS free_id,
        row_number() OVER (PARTITION BY free.id ORDER BY n.v3 DESC NULLS LAST, n.sfid) AS claim
    FROM n
    LEFT JOIN "salesforce"."account" AS own ON own.sfid = n.sfid
    LEFT JOIN "salesforce"."account" AS free ON own.id IS NULL AND n.kind <> 'delete' AND free.sfid IS NULL AND false
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
            WHEN r.id IS NOT NULL AND EXISTS (
                SELECT FROM "salesforce"."_trigger_log" AS l
                WHERE l.table_name = 'account' AND l.state IN ('NEW', 'PENDING') AND l.record_id = r.id) THEN 'held'
            WHEN r.sfid IS NULL AND EXISTS (
                SELECT FROM "salesforce"."_trigger_log" AS l
                WHERE l.table_name = 'account' AND l.state IN ('NEW', 'PENDING') AND l.action = 'DELETE' AND l.sfid = n.sfid) THEN 'held'
            WHEN r.id IS NULL AND n.kind <> 'foreign' AND EXISTS (
                SELECT FROM "salesforce"."_trigger_log" AS l
                WHERE l.table_name = 'account' AND l.state = 'PENDING' AND l.action = 'INSERT') THEN 'held'
            WHEN r.id IS NULL OR NOT EXISTS (
                SELECT FROM hcbridge.object AS ob
                WHERE ob.schema = $1 AND ob.object = $2 AND ob.loaded_at IS NOT NULL
                    AND (ob.load_job IS NULL OR ob.load_started <= ob.poll_mark)) THEN 'equal'
            WHEN r.sfid IS NULL AND n.seq = 0 AND n.kind <> 'delete' AND (SELECT true FROM hcbridge.gone AS g WHERE g.schema = $1 AND g.object = $2 AND g.sfid = n.sfid) THEN 'equal'
            WHEN r.id IS NULL THEN 'insert'
            WHEN n.kind = 'delete' AND r."systemmodstamp" >= n.v3 THEN 'equal'
            WHEN n.kind = 'delete' THEN 'delete'
            WHEN n.kind NOT IN ('read', 'known', 'foreign') AND r._hc_lastop = 'UPDATED' AND EXISTS (
                SELECT FROM "salesforce"."_trigger_log_archive" AS l
                WHERE l.table_name = 'account' AND l.record_id = r.id AND l.action = 'UPDATE' AND l.processed_at > now() - interval '10 minutes'
                    AND (r."name" IS DISTINCT FROM n.v0 AND position('"name"=>' IN l."values") > 0
                        OR r."ext__c" IS DISTINCT FROM n.v1 AND position('"ext__c"=>' IN l."values") > 0
                        OR r."amount__c" IS DISTINCT FROM n.v2 AND position('"amount__c"=>' IN l."values") > 0)) THEN 'equal'
            WHEN r.sfid IS NULL THEN 'update'
            WHEN n.kind <> 'known' AND r."systemmodstamp" = n.v3 AND ROW(r."name", r."ext__c", r."amount__c", r."isdeleted") IS DISTINCT FROM ROW(n.v0, n.v1, n.v2, n.v4) THEN 'equal'
            WHEN ROW(r."name", r."ext__c", r."amount__c", r."isdeleted") IS DISTINCT FROM ROW(n.v0, n.v1, n.v2, n.v4) THEN 'update'
            WHEN n.kind IN ('read', 'known', 'foreign') AND r._hc_lastop IN ('PENDING', 'INSERTED', 'UPDATED') THEN 'update'
            ELSE 'same'
        END AS verdict,
        r.sfid IS NULL OR r."ext__c"::text IS DISTINCT FROM n.v1::text AS rekeys
    FROM hits AS n
    LEFT JOIN "salesforce"."account" AS r ON r.id = coalesce(n.own_id, CASE n.claim WHEN 1 THEN n.free_id END)
),
locked AS MATERIALIZED (
    SELECT m.*, t._hc_lastop = 'FAILED' AND EXISTS (
        SELECT FROM "salesforce"."_trigger_log" AS l
        WHERE l.table_name = 'account' AND l.state = 'FAILED' AND l.action = 'UPDATE' AND l.record_id = t.id) AS refused FROM "salesforce"."account" AS t JOIN m ON m.row_id = t.id
    WHERE m.verdict = 'update' AND NOT m.rekeys AND t.xmin = m.row_version
    FOR NO KEY UPDATE OF t SKIP LOCKED
),
seized AS MATERIALIZED (
    SELECT m.*, t._hc_lastop = 'FAILED' AND EXISTS (
        SELECT FROM "salesforce"."_trigger_log" AS l
        WHERE l.table_name = 'account' AND l.state = 'FAILED' AND l.action = 'UPDATE' AND l.record_id = t.id) AS refused FROM "salesforce"."account" AS t JOIN m ON m.row_id = t.id
    WHERE (m.verdict = 'delete' OR m.verdict = 'update' AND m.rekeys) AND t.xmin = m.row_version
    FOR UPDATE OF t SKIP LOCKED
),
was AS MATERIALIZED (
    SELECT m.sfid, (SELECT g.row_id FROM hcbridge.gone AS g
        WHERE g.schema = $1 AND g.object = $2 AND g.sfid = m.sfid
            AND NOT EXISTS (SELECT FROM "salesforce"."account" AS t WHERE t.id = g.row_id)) AS id
    FROM m WHERE m.verdict = 'insert'
),
created AS (
    INSERT INTO "salesforce"."account" AS t ("name", "ext__c", "amount__c", "isdeleted", sfid, _hc_lastop)
    SELECT m.v0, m.v1, m.v2, m.v4, m.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
revived AS (
    INSERT INTO "salesforce"."account" AS t ("name", "ext__c", "amount__c", "isdeleted", id, sfid, _hc_lastop)
    OVERRIDING SYSTEM VALUE
    SELECT m.v0, m.v1, m.v2, m.v4, was.id, m.sfid, 'SYNCED' FROM m JOIN was ON was.sfid = m.sfid WHERE was.id IS NOT NULL
    ON CONFLICT (sfid) DO NOTHING
    RETURNING t.sfid
),
updated AS (
    UPDATE "salesforce"."account" AS t
    SET "name" = m.v0,
        "amount__c" = m.v2,
        "isdeleted" = m.v4,
        _hc_lastop = CASE WHEN m.refused THEN t._hc_lastop ELSE 'SYNCED' END,
        _hc_err = CASE WHEN m.refused THEN t._hc_err END
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
rekeyed AS (
    UPDATE "salesforce"."account" AS t
    SET "name" = m.v0,
        "amount__c" = m.v2,
        "isdeleted" = m.v4,
        "ext__c" = m.v1,
        sfid = m.sfid,
        _hc_lastop = CASE WHEN m.refused THEN t._hc_lastop ELSE 'SYNCED' END,
        _hc_err = CASE WHEN m.refused THEN t._hc_err END
    FROM seized AS m
    WHERE m.verdict = 'update' AND t.id = m.row_id
    RETURNING m.sfid
),
written AS (
    SELECT sfid FROM created UNION ALL SELECT sfid FROM revived
    UNION ALL SELECT sfid FROM updated UNION ALL SELECT sfid FROM deleted
    UNION ALL SELECT sfid FROM rekeyed
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
),
conflicted AS (
    INSERT INTO hcbridge.conflict AS c (schema, object, table_name, record_id, sfid, field, entry, local_value, remote_value, base_value, remote_deleted, chosen, settled)
    SELECT $1, $2, 'account', m.row_id, m.sfid, f.name, e.id, e.local, f.remote, e.base, false, 'postgres', m.verdict = 'stale'
    FROM m
    JOIN "salesforce"."account" AS r ON r.id = m.row_id
    CROSS JOIN LATERAL (VALUES ('name', CASE WHEN m.v0 IS NOT NULL THEN format('%s', m.v0) END, CASE WHEN r."name" IS NOT NULL THEN format('%s', r."name") END, NULL), ('ext__c', CASE WHEN m.v1 IS NOT NULL THEN format('%s', m.v1) END, CASE WHEN r."ext__c" IS NOT NULL THEN format('%s', r."ext__c") END, NULL), ('amount__c', CASE WHEN m.v2 IS NOT NULL THEN format('%s', m.v2) END, CASE WHEN r."amount__c" IS NOT NULL THEN format('%s', r."amount__c") END, NULL)) AS f (name, remote, own, short)
    CROSS JOIN LATERAL (
        SELECT l.id, hcbridge.pair(l."values", f.name) AS local, hcbridge.pair(l.old, f.name) AS base
        FROM (
            SELECT l.id, l."values", l.old FROM "salesforce"."_trigger_log" AS l
            WHERE l.table_name = 'account' AND l.record_id = m.row_id AND l.state IN ('NEW', 'PENDING') AND l.action = 'UPDATE'
            UNION ALL
            SELECT l.id, l."values", l.old FROM "salesforce"."_trigger_log_archive" AS l
            WHERE l.table_name = 'account' AND l.record_id = m.row_id AND l.state IN ('SUCCESS', 'MERGED') AND l.action = 'UPDATE'
                AND l.processed_at > now() - interval '10 minutes'
        ) AS l
        WHERE position('"' || f.name || '"=>' IN l."values") > 0
            AND hcbridge.pair(l.old, 'systemmodstamp')::timestamp < m.v3
        ORDER BY l.id DESC
        LIMIT 1
    ) AS e
    WHERE (SELECT count(*) FROM marked) >= 0 AND f.remote IS DISTINCT FROM f.own
        AND (m.verdict IN ('held', 'equal') AND m.kind <> 'delete' OR m.verdict = 'stale' AND m.kind IN ('event', 'patch'))
        AND NOT EXISTS (
            SELECT FROM (
            SELECT l.id, l."values", l.old FROM "salesforce"."_trigger_log" AS l
            WHERE l.table_name = 'account' AND l.record_id = m.row_id AND l.state IN ('NEW', 'PENDING') AND l.action = 'UPDATE'
            UNION ALL
            SELECT l.id, l."values", l.old FROM "salesforce"."_trigger_log_archive" AS l
            WHERE l.table_name = 'account' AND l.record_id = m.row_id AND l.state IN ('SUCCESS', 'MERGED') AND l.action = 'UPDATE'
                AND l.processed_at > now() - interval '10 minutes'
        ) AS l
            WHERE position('"' || f.name || '"=>' IN l."values") > 0
                AND (hcbridge.pair(l."values", f.name) IS NOT DISTINCT FROM f.remote OR hcbridge.pair(l.old, f.name) IS NOT DISTINCT FROM f.remote
                    OR f.short IN (left(hcbridge.pair(l."values", f.name), 15), left(hcbridge.pair(l.old, f.name), 15))))
    UNION ALL
    SELECT $1, $2, 'account', m.row_id, m.sfid, f.name, e.id, e.local, NULL, e.base, true, 'salesforce', true
    FROM m
    CROSS JOIN LATERAL unnest(ARRAY['name', 'ext__c', 'amount__c']::text[]) AS f (name)
    CROSS JOIN LATERAL (
        SELECT l.id, hcbridge.pair(l."values", f.name) AS local, hcbridge.pair(l.old, f.name) AS base
        FROM "salesforce"."_trigger_log" AS l
        WHERE l.table_name = 'account' AND l.record_id = m.row_id AND l.state = 'FAILED' AND l.action = 'UPDATE'
            AND position('"' || f.name || '"=>' IN l."values") > 0
        ORDER BY l.id DESC
        LIMIT 1
    ) AS e
    WHERE m.verdict = 'delete' AND (SELECT count(*) FROM marked) >= 0
    ORDER BY 5, 6
    ON CONFLICT (schema, table_name, record_id, field, entry) DO UPDATE
    SET remote_value = excluded.remote_value, at = now()
    WHERE NOT c.settled AND c.remote_value IS DISTINCT FROM excluded.remote_value
    RETURNING c.settled
),
answered AS MATERIALIZED (
    SELECT c.id, f.remote IS NOT DISTINCT FROM c.remote_value AS theirs, r._hc_lastop IN ('INSERTED', 'UPDATED', 'SYNCED') AS taken
    FROM m
    JOIN "salesforce"."account" AS r ON r.id = m.row_id
    JOIN hcbridge.conflict AS c ON c.schema = $1 AND c.object = $2 AND c.sfid = m.sfid AND NOT c.settled
    JOIN LATERAL (VALUES ('name', CASE WHEN m.v0 IS NOT NULL THEN format('%s', m.v0) END, CASE WHEN r."name" IS NOT NULL THEN format('%s', r."name") END, NULL), ('ext__c', CASE WHEN m.v1 IS NOT NULL THEN format('%s', m.v1) END, CASE WHEN r."ext__c" IS NOT NULL THEN format('%s', r."ext__c") END, NULL), ('amount__c', CASE WHEN m.v2 IS NOT NULL THEN format('%s', m.v2) END, CASE WHEN r."amount__c" IS NOT NULL THEN format('%s', r."amount__c") END, NULL)) AS f (name, remote, own, short) ON f.name = c.field
    WHERE m.kind IN ('read', 'known', 'foreign') AND m.verdict IN ('update', 'same') AND (SELECT count(*) FROM marked) >= 0
),
refuted AS (
    DELETE FROM hcbridge.conflict AS c USING answered AS a WHERE c.id = a.id AND a.theirs AND a.taken
),
settled AS (
    UPDATE hcbridge.conflict AS c SET settled = true, chosen = CASE WHEN a.theirs THEN 'salesforce' ELSE 'postgres' END
    FROM answered AS a WHERE c.id = a.id AND NOT (a.theirs AND a.taken)
    RETURNING 1
)
SELECT verdict, count(*), array_agg(sfid) FILTER (WHERE verdict IN ('unmade', 'swallowed')) FROM o GROUP BY verdict
UNION ALL SELECT 'conflict', (SELECT count(*) FROM conflicted WHERE settled) + (SELECT count(*) FROM settled), NULL

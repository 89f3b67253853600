-- Moves channels ($2, with topic ids $3) to replay ids $4 of events made at $5.
-- It does not compare with what is there: a topic made anew counts from the
-- beginning, and only the caller knows.
INSERT INTO hcbridge.position AS p (schema, channel, topic_id, replay_id, event_at)
SELECT $1, u.channel, nullif(u.topic, ''), u.replay_id, u.event_at
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS u (channel, topic, replay_id, event_at)
ON CONFLICT (schema, channel) DO UPDATE
SET topic_id = coalesce(excluded.topic_id, p.topic_id),
    replay_id = excluded.replay_id,
    event_at = coalesce(excluded.event_at, p.event_at),
    updated_at = now()

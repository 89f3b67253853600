-- Whether the app has changes under way that a record of a load might have to
-- wait for, though it has no row: a delete that is not sent; an insert that is
-- being sent, whose record it may be; or a row without a record, which may have
-- its external id ($1: the object has one).
SELECT EXISTS (
        SELECT
        FROM {log} AS l
        WHERE l.table_name = {table_name} AND l.state IN ('NEW', 'PENDING')
            AND (l.action = 'DELETE' OR l.action = 'INSERT' AND l.state = 'PENDING')
    )
    OR $1::boolean AND EXISTS (SELECT FROM {table} AS t WHERE t.sfid IS NULL)

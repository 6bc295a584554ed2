-- Version 3: entries are moved from one destination to another.

-- Moves entries that wait. Each gets a new number, is due now, and keeps its place in the order of its
-- key. Its event counts as delivered where it was. One stays that is not as it was read, or whose event
-- the other destination has. What is told twice is moved once.
--
-- before, after_        their attempts, as they were read and as they are then
-- keys, others, lanes   how each is known at the other destination
-- Gives how many were moved.
CREATE FUNCTION hookward.move_entries(
    wanted bigint[], before bytea[], after_ bytea[], keys uuid[], others uuid[], lanes uuid[],
    target text, wall bigint, within bigint)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    locks   uuid[];
    moment  timestamptz;
    entry   hookward.entries;
    changed integer := 0;
BEGIN
    PERFORM hookward.durably();
    PERFORM set_config('lock_timeout', within || 'ms', true);
    SELECT array_agg(e.key) || array_agg(e.alias) || array_agg(e.lane) INTO locks
        FROM hookward.entries AS e WHERE e.seq = ANY (wanted);
    PERFORM hookward.lock_keys(locks || keys || others || lanes);
    moment := clock_timestamp();
    FOR i IN 1 .. cardinality(wanted) LOOP
        IF EXISTS (SELECT FROM hookward.entries AS e WHERE e.key = keys[i] AND e.progress = after_[i]) THEN
            changed := changed + 1;
            CONTINUE;
        END IF;
        SELECT * INTO entry FROM hookward.entries AS e
            WHERE e.seq = wanted[i] AND e.state IN ('q', 'b') AND e.dest <> target
                AND e.progress = before[i] FOR UPDATE;
        -- One of version 2 does not say its key, so its place at the other destination is not known.
        CONTINUE WHEN NOT FOUND OR (entry.lane IS NOT NULL AND lanes[i] IS NULL)
            OR EXISTS (SELECT FROM hookward.entries AS e WHERE e.key = keys[i])
            OR hookward.stands(hookward.newest(keys[i], moment), moment);
        -- Its bytes may be copied to another slot meanwhile, so the row stays the same one.
        UPDATE hookward.entries SET seq = nextval('hookward.numbers'), key = keys[i], alias = others[i],
                lane = lanes[i], dest = target, due = hookward.now_ms(), fence = 0, token = 0, began = 0,
                state = CASE WHEN lanes[i] IS NULL THEN 'q'::"char" ELSE 'b'::"char" END,
                progress = after_[i]
            WHERE seq = entry.seq;
        IF others[i] IS NOT NULL THEN
            INSERT INTO hookward.aliases (leaves, alias, key)
                VALUES (moment + entry.ttl * interval '1 ms', others[i], keys[i]);
        END IF;
        PERFORM hookward.remember(entry.key, entry.alias, 0, wall, entry.fingerprint, entry.ttl);
        PERFORM hookward.advance(entry.lane, false);
        PERFORM hookward.advance(lanes[i], true);
        changed := changed + 1;
    END LOOP;
    PERFORM pg_notify('hookward', '');
    RETURN changed;
END $$;

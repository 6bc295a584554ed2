-- Version 1: claims.
--
-- `standings` is a journal. Each row gives the state of a key from then on; the newest row of a key,
-- the one with the highest number, is valid. Rows are never updated or deleted, so a transaction
-- that stays open cannot make dead rows pile up. Old rows go when their partition is dropped.
-- `leaves` is the partition key. It is never earlier than in an older row of the same key, so that a
-- row never goes before a row that it made invalid.
--
-- Kinds: 'f' in flight, 'd' delivered, 'u' uncertain, 'r' released: counts as absent, and until it
-- expires its note is for waiting copies, 'x' withdrawn: says nothing about the key, only that the
-- claim with this fence was withdrawn before it arrived.
CREATE SEQUENCE hookward.numbers;

CREATE TABLE hookward.standings (
    number      bigint      NOT NULL DEFAULT nextval('hookward.numbers'),
    fence       bigint      NOT NULL,
    since       bigint      NOT NULL, -- unix time in ms, by the clock of the instance
    fingerprint bigint      NOT NULL DEFAULT 0,
    expires     timestamptz NOT NULL, -- by the clock of this server
    leaves      timestamptz NOT NULL,
    key         uuid        NOT NULL,
    kind        "char"      NOT NULL,
    note        text        NOT NULL DEFAULT ''
) PARTITION BY RANGE (leaves);
CREATE INDEX standings_by_key ON hookward.standings (key, number DESC);

-- Other names of events, each with the key that it was last seen with. Also a journal.
CREATE TABLE hookward.aliases (
    number bigint      NOT NULL DEFAULT nextval('hookward.numbers'),
    leaves timestamptz NOT NULL,
    alias  uuid        NOT NULL,
    key    uuid        NOT NULL
) PARTITION BY RANGE (leaves);
CREATE INDEX aliases_by_alias ON hookward.aliases (alias, number DESC);

-- The spans of time for which both tables have a partition. There are no gaps between them.
CREATE TABLE hookward.spans (
    starts timestamptz PRIMARY KEY,
    ends   timestamptz NOT NULL
);

-- The newest row of a key.
CREATE FUNCTION hookward.newest(wanted uuid, moment timestamptz) RETURNS hookward.standings
LANGUAGE plpgsql AS $$
DECLARE
    found hookward.standings;
BEGIN
    SELECT * INTO found FROM hookward.standings AS s
        WHERE s.key = wanted AND s.leaves > moment AND s.kind <> 'x'
        ORDER BY s.number DESC LIMIT 1;
    RETURN found;
END $$;

-- Whether a row prevents others from claiming its key. `expires` itself still counts as delivered.
CREATE FUNCTION hookward.stands(row_ hookward.standings, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(
        row_.kind IN ('f', 'u') AND row_.expires > moment OR row_.kind = 'd' AND row_.expires >= moment,
        false);
END $$;

-- Locks these keys until the transaction ends. All callers lock in the same order.
CREATE FUNCTION hookward.lock_keys(keys uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    FOR id IN
        SELECT DISTINCT uuid_hash_extended(k, 7525899362094768996) FROM unnest(keys) AS k
            WHERE k IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock(id);
    END LOOP;
END $$;

-- Returns the state of each key. If `take`, claims the absent ones first.
--
-- leases   how long each claim is valid, in ms
-- kept     how long each alias is kept, in ms
-- wall     the time by the clock of the instance, in ms
-- within   how long to wait for a lock, in ms
-- Returns for each key: its kind ('c' if the caller now has the claim, NULL if absent), since when,
-- the fingerprint, the ms until it expires, and its note.
CREATE FUNCTION hookward.claim(
    keys uuid[], names uuid[], leases bigint[], kept bigint[],
    holder bigint, take boolean, wall bigint, within bigint)
RETURNS TABLE (stood "char", stood_since bigint, body bigint, ms bigint, word text)
LANGUAGE plpgsql AS $$
DECLARE
    moment       timestamptz;
    keep     interval;
    named    hookward.aliases;
    found    hookward.standings;
    is_taken boolean;
    is_ours  boolean;
BEGIN
    PERFORM set_config('lock_timeout', within || 'ms', true);
    IF take THEN
        PERFORM hookward.lock_keys(keys || names);
    ELSE
        PERFORM hookward.lock_keys(names);
    END IF;
    moment := clock_timestamp();
    FOR i IN 1 .. cardinality(keys) LOOP
        is_ours := false;
        is_taken := false;
        found := NULL;
        named := NULL;
        IF names[i] IS NOT NULL THEN
            SELECT * INTO named FROM hookward.aliases AS a
                WHERE a.alias = names[i] AND a.leaves > moment ORDER BY a.number DESC LIMIT 1;
            IF named.key <> keys[i] THEN
                found := hookward.newest(named.key, moment);
                is_taken := hookward.stands(found, moment);
            END IF;
        END IF;
        IF NOT is_taken THEN
            found := hookward.newest(keys[i], moment);
            is_taken := hookward.stands(found, moment);
            IF take AND is_taken THEN
                is_ours := found.kind = 'f' AND found.fence = holder;
            ELSIF take AND NOT EXISTS (
                SELECT FROM (
                    SELECT s.fence, s.kind FROM hookward.standings AS s
                        WHERE s.key = keys[i] AND s.leaves > moment ORDER BY s.number DESC LIMIT 16
                ) AS latest WHERE latest.fence = holder AND latest.kind IN ('x', 'r')
            ) THEN
                keep := leases[i] * interval '1 ms';
                INSERT INTO hookward.standings (fence, since, expires, leaves, key, kind)
                    VALUES (holder, wall, moment + keep, greatest(moment + keep, found.leaves), keys[i], 'f');
                is_ours := true;
                is_taken := true;
            END IF;
            keep := kept[i] * interval '1 ms';
            -- Do not note a name again that is already noted until about the same time.
            IF names[i] IS NOT NULL AND is_taken AND (
                named.key IS DISTINCT FROM keys[i] OR named.leaves < moment + keep - interval '10 s'
            ) THEN
                INSERT INTO hookward.aliases (leaves, alias, key)
                    VALUES (moment + keep, names[i], keys[i]);
            END IF;
        END IF;
        IF is_ours THEN
            RETURN QUERY SELECT 'c'::"char", wall, 0::bigint, leases[i], '';
        ELSIF is_taken OR found.kind = 'r' AND found.expires > moment THEN
            RETURN QUERY SELECT found.kind, found.since, found.fingerprint,
                ceil(extract(epoch FROM found.expires - moment) * 1000)::bigint, found.note;
        ELSE
            RETURN QUERY SELECT NULL::"char", 0::bigint, 0::bigint, 0::bigint, '';
        END IF;
    END LOOP;
END $$;

-- Ends the claim with this fence, unless a later claim changed the key. Returns whether it did.
--
-- verdict  the kind of row to write
-- keep     how long the row is valid, in ms; 0: it leaves no note
CREATE FUNCTION hookward.settle(
    wanted uuid, holder bigint, verdict "char", wall bigint, body bigint, keep bigint, word text,
    within bigint)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    moment      timestamptz;
    ends    timestamptz;
    found   hookward.standings;
    is_ours boolean;
BEGIN
    PERFORM set_config('lock_timeout', within || 'ms', true);
    PERFORM hookward.lock_keys(ARRAY[wanted]);
    moment := clock_timestamp();
    found := hookward.newest(wanted, moment);
    IF found.kind = verdict AND found.fence = holder THEN
        RETURN true; -- It is already settled.
    END IF;
    is_ours := coalesce(found.kind = 'f' AND found.fence = holder, false);
    IF verdict = 'r' AND NOT is_ours THEN
        -- The claim to withdraw may still arrive, on another connection.
        INSERT INTO hookward.standings (fence, since, expires, leaves, key, kind)
            VALUES (holder, wall, moment, moment + interval '1 h', wanted, 'x');
        RETURN NOT hookward.stands(found, moment);
    END IF;
    IF NOT is_ours AND hookward.stands(found, moment) THEN
        RETURN false;
    END IF;
    ends := moment + keep * interval '1 ms';
    INSERT INTO hookward.standings (fence, since, fingerprint, expires, leaves, key, kind, note)
        VALUES (holder, wall, body, ends, greatest(ends, found.leaves, moment + interval '1 min'),
            wanted, verdict, word);
    RETURN true;
END $$;

-- Makes a key absent, unless it is in flight. Returns its state before, as `claim` does.
CREATE FUNCTION hookward.forget(wanted uuid, wall bigint, within bigint)
RETURNS TABLE (stood "char", stood_since bigint, body bigint, ms bigint, word text)
LANGUAGE plpgsql AS $$
DECLARE
    moment   timestamptz;
    found hookward.standings;
BEGIN
    PERFORM set_config('lock_timeout', within || 'ms', true);
    PERFORM hookward.lock_keys(ARRAY[wanted]);
    moment := clock_timestamp();
    found := hookward.newest(wanted, moment);
    IF NOT hookward.stands(found, moment) THEN
        RETURN QUERY SELECT NULL::"char", 0::bigint, 0::bigint, 0::bigint, '';
        RETURN;
    END IF;
    IF found.kind <> 'f' THEN
        INSERT INTO hookward.standings (fence, since, expires, leaves, key, kind)
            VALUES (0, wall, moment, found.leaves, wanted, 'r');
    END IF;
    RETURN QUERY SELECT found.kind, found.since, found.fingerprint,
        ceil(extract(epoch FROM found.expires - moment) * 1000)::bigint, found.note;
END $$;

-- How many delivered ids are remembered: an exact count while the table is small, otherwise an
-- estimate from a sample of its pages.
CREATE FUNCTION hookward.entries() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    pages   bigint;
    percent real;
    counted bigint;
BEGIN
    SELECT coalesce(sum(pg_relation_size(p.relid)), 0) / current_setting('block_size')::bigint
        INTO pages FROM pg_partition_tree('hookward.standings') AS p WHERE p.isleaf;
    percent := least(100, 100.0 * 1000 / greatest(pages, 1));
    SELECT count(*) INTO counted FROM hookward.standings AS s TABLESAMPLE SYSTEM (percent)
        WHERE s.kind = 'd' AND s.expires >= clock_timestamp();
    RETURN round(counted * 100 / percent);
END $$;

-- Makes partitions for rows that leave by `until`. Partitions of the next two weeks hold a day each,
-- later ones a week, and then four weeks, so that a long ttl does not need many.
-- Attaching a table, unlike creating it as a partition, blocks no other session.
CREATE FUNCTION hookward.make_room(until timestamptz) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part   text;
    first  timestamptz;
    past   timestamptz;
    ahead  interval;
    made   integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7525899362094768996);
    SELECT max(ends) INTO first FROM hookward.spans;
    first := greatest(first, date_trunc('day', now(), 'UTC'));
    WHILE first <= until LOOP
        ahead := first - now();
        past := first + CASE
            WHEN ahead < interval '14 days' THEN interval '24 h'
            WHEN ahead < interval '100 days' THEN interval '168 h'
            ELSE interval '672 h' END;
        FOREACH parent IN ARRAY ARRAY['standings', 'aliases'] LOOP
            part := parent || to_char(first AT TIME ZONE 'UTC', '_YYYYMMDD');
            EXECUTE format(
                'CREATE TABLE hookward.%I (LIKE hookward.%I INCLUDING ALL)', part, parent);
            EXECUTE format(
                'ALTER TABLE hookward.%I ATTACH PARTITION hookward.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, first, past);
        END LOOP;
        INSERT INTO hookward.spans VALUES (first, past);
        made := made + 1;
        first := past;
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions of the oldest span that is over. Returns whether there was one. This locks
-- each table exclusively for a moment, and other sessions queue behind the lock request. It is not
-- urgent, so it waits for the lock for at most 100 ms.
CREATE FUNCTION hookward.clear_out() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    old    hookward.spans;
    parent text;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    IF NOT pg_try_advisory_xact_lock(7525899362094768996) THEN
        RETURN false;
    END IF;
    SELECT * INTO old FROM hookward.spans
        WHERE ends < now() - interval '1 h' ORDER BY starts LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['standings', 'aliases'] LOOP
        EXECUTE format('DROP TABLE IF EXISTS hookward.%I',
            parent || to_char(old.starts AT TIME ZONE 'UTC', '_YYYYMMDD'));
    END LOOP;
    DELETE FROM hookward.spans WHERE starts = old.starts;
    RETURN true;
END $$;

SELECT hookward.make_room(now() + interval '48 h');

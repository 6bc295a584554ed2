-- Version 1: claims.
--
-- `standings` is a journal: every row says how a key stands from then on, and the newest row of a
-- key, the one with the highest number, is right. Rows are never updated and never deleted, so that
-- a transaction which somebody holds open cannot make dead rows pile up. Old rows leave with their
-- partition. `leaves` is the partition key: no earlier than that of any earlier row of the same
-- key, so that no row is survived by one that it made invalid.
--
-- Kinds: 'f' in flight, 'd' delivered, 'u' uncertain, 'r' released: as good as absent, and until it
-- expires it has a word for copies that wait; 'x' says nothing of the key: the claim of its fence
-- was called off before it came.
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

-- Other names of events, each with the key that it was last seen with. A journal as well.
CREATE TABLE hookward.aliases (
    number bigint      NOT NULL DEFAULT nextval('hookward.numbers'),
    leaves timestamptz NOT NULL,
    alias  uuid        NOT NULL,
    key    uuid        NOT NULL
) PARTITION BY RANGE (leaves);
CREATE INDEX aliases_by_alias ON hookward.aliases (alias, number DESC);

-- The stretches of time that both tables have a partition for, without a gap between them.
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

-- Whether a row keeps others from claiming its key. An id is delivered through its last instant.
CREATE FUNCTION hookward.stands(row_ hookward.standings, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(
        row_.kind IN ('f', 'u') AND row_.expires > moment OR row_.kind = 'd' AND row_.expires >= moment,
        false);
END $$;

-- Takes the locks of these keys until the transaction ends, in an order that all share.
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

-- How each key stands, after taking those that were absent if `take` says so.
--
-- leases   how long each claim holds, in ms
-- kept     how long each alias is kept, in ms
-- wall     what the clock of the instance says, in ms
-- within   how long to wait for a lock, in ms
-- Gives for each key: its kind ('c' if it is now the caller's, NULL if it is absent), since when,
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
            -- A name that is noted already, with as good as the same end, is not noted again.
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

-- Ends the claim of a fence, unless a later one left its mark; whether it did.
--
-- verdict  the kind of row to write
-- keep     how long that counts, in ms; 0: it leaves no word
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
        RETURN true; -- It was told before.
    END IF;
    is_ours := coalesce(found.kind = 'f' AND found.fence = holder, false);
    IF verdict = 'r' AND NOT is_ours THEN
        -- The claim that this calls off may still be on its way, on another connection.
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

-- Makes a key absent, unless it is in flight. Gives how it stood, as `claim` does.
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

-- How many delivered ids are remembered: counted as long as both tables are small, estimated from a
-- sample of their pages after that.
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

-- Sees to it that rows which leave by `until` have a partition. Partitions of the next two weeks
-- hold a day each, later ones a week, and then four, so that a long ttl does not mean many.
-- Attaching, unlike creating in place, locks nobody out.
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

-- Drops the partitions of the oldest span that is over; whether there was one. That needs each
-- table alone for a moment. Whoever comes meanwhile waits behind us, so we wait for 100 ms at most:
-- it is not urgent.
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

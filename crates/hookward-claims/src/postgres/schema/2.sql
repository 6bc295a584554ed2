-- Version 2: the inbox.
--
-- An event is one row of the newest table `events_<slot>`, written once: its head and its body. It is
-- never updated. A slot is closed when it is large, or when events in it have ended; a closed slot in
-- which no event is needed is dropped, and one in which few are is copied forward first. These tables
-- have no parent: attaching to one, and dropping from it, would hold up those who use the others.
--
-- `entries` has a narrow row for each destination of an event that waits, is sent, died, was discarded
-- or is kept after its delivery. It is updated for each attempt, and deleted in the end.
--
-- States: 'q' queued: to be sent once it is `due`; 'b' behind an earlier entry of its lane; 'f' in
-- flight; 'x' dead; 'd' delivered, and kept for a replay; 'n' discarded, never to be sent.
-- All times are unix time in ms. `due` is by the clock of this server, and so is every decision; of an
-- entry in flight it is the end of its lease, when another instance may send it; of one in state 'x',
-- 'd' or 'n' it is when the row leaves.
CREATE TABLE hookward.slots (
    slot   bigint PRIMARY KEY,
    opened bigint NOT NULL
);

CREATE TABLE hookward.entries (
    seq         bigint  PRIMARY KEY,
    event       bigint  NOT NULL,
    slot        bigint  NOT NULL, -- 0: its bytes are not needed
    due         bigint  NOT NULL,
    fence       bigint  NOT NULL DEFAULT 0, -- of the attempt that is under way
    token       bigint  NOT NULL, -- of the acceptance, which may be told twice
    place       bigint  NOT NULL, -- in the order of its lane
    accepted    bigint  NOT NULL, -- by the clock of the instance, as are `began` and the tries
    began       bigint  NOT NULL DEFAULT 0,
    fingerprint bigint  NOT NULL,
    ttl         bigint  NOT NULL,
    id_hash     bigint  NOT NULL,
    size        integer NOT NULL, -- its share of the event's bytes
    state       "char"  NOT NULL,
    holds       boolean NOT NULL, -- once it is dead, its lane waits
    key         uuid    NOT NULL,
    alias       uuid,
    lane        uuid,
    source      text    NOT NULL,
    dest        text    NOT NULL,
    name        bytea   NOT NULL, -- id and type of the event
    progress    bytea   NOT NULL  -- its attempts
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
CREATE UNIQUE INDEX entries_by_key ON hookward.entries (key);
CREATE INDEX entries_due ON hookward.entries (dest, due) WHERE state IN ('q', 'f');
CREATE INDEX entries_ended ON hookward.entries (due) WHERE state IN ('x', 'd', 'n');
CREATE INDEX entries_of_lane ON hookward.entries (lane, place) WHERE lane IS NOT NULL;
CREATE INDEX entries_of_slot ON hookward.entries (slot, event);

-- The order of a key, held for a live attempt.
CREATE TABLE hookward.lane_holds (
    place bigint PRIMARY KEY,
    lane  uuid   NOT NULL,
    until bigint NOT NULL
);
CREATE INDEX lane_holds_by_lane ON hookward.lane_holds (lane);

CREATE TABLE hookward.pauses (
    dest   text   NOT NULL,
    starts bigint NOT NULL,
    ends   bigint NOT NULL -- 0: not known yet
);

CREATE FUNCTION hookward.now_ms() RETURNS bigint
LANGUAGE sql AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- Sees to it that this transaction is durable once it is committed, whatever the role's setting is.
CREATE FUNCTION hookward.durably() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END $$;

-- Opens another slot, into which events go from then on.
CREATE FUNCTION hookward.open_slot() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    made bigint := nextval('hookward.numbers');
BEGIN
    EXECUTE format('CREATE TABLE hookward.events_%s (event bigint PRIMARY KEY, sealed bytea NOT NULL)', made);
    -- Compressing costs more time than it saves space, and what is encrypted does not shrink.
    EXECUTE format('ALTER TABLE hookward.events_%s ALTER sealed SET STORAGE EXTERNAL', made);
    INSERT INTO hookward.slots VALUES (made, hookward.now_ms());
    RETURN made;
END $$;

SELECT hookward.open_slot();

-- Sees to it that the first entry of a lane that is not to be passed over can be sent, and with
-- `reorder`, because an earlier one came back, that those behind it wait again.
CREATE FUNCTION hookward.advance(wanted uuid, reorder boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    head hookward.entries;
BEGIN
    IF wanted IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO head FROM hookward.entries AS e
        WHERE e.lane = wanted AND (e.state IN ('q', 'b', 'f') OR e.state = 'x' AND e.holds)
        ORDER BY e.place LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF head.state = 'b' AND NOT EXISTS (
        SELECT FROM hookward.lane_holds AS h
            WHERE h.lane = wanted AND h.place < head.place AND h.until > hookward.now_ms()
    ) THEN
        UPDATE hookward.entries SET state = 'q' WHERE seq = head.seq;
    END IF;
    IF reorder THEN
        UPDATE hookward.entries SET state = 'b'
            WHERE lane = wanted AND state = 'q' AND seq <> head.seq;
    END IF;
END $$;

-- Whether an entry or a live attempt is first in a lane, that of the hold at `own` apart.
CREATE FUNCTION hookward.is_busy(wanted uuid, own bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM hookward.entries AS e
            WHERE e.lane = wanted AND (e.state IN ('q', 'b', 'f') OR e.state = 'x' AND e.holds)
    ) OR EXISTS (
        SELECT FROM hookward.lane_holds AS h
            WHERE h.lane = wanted AND h.place <> own AND h.until > hookward.now_ms()
    );
END $$;

-- Holds a lane for a live attempt; its place in the order, or NULL if earlier ones are there.
CREATE FUNCTION hookward.hold_lane(wanted uuid, lease bigint, within bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    PERFORM set_config('lock_timeout', within || 'ms', true);
    PERFORM hookward.lock_keys(ARRAY[wanted]);
    IF hookward.is_busy(wanted, 0) THEN
        RETURN NULL;
    END IF;
    DELETE FROM hookward.lane_holds WHERE lane = wanted;
    INSERT INTO hookward.lane_holds VALUES (nextval('hookward.numbers'), wanted, hookward.now_ms() + lease)
        RETURNING place INTO taken;
    RETURN taken;
END $$;

CREATE FUNCTION hookward.release_lane(wanted uuid, own bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hookward.lock_keys(ARRAY[wanted]);
    DELETE FROM hookward.lane_holds WHERE place = own;
    PERFORM hookward.advance(wanted, false);
END $$;

-- Remembers that a destination has an event, under the lock of its key.
CREATE FUNCTION hookward.remember(
    wanted uuid, other uuid, holder bigint, wall bigint, body bigint, keep bigint)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    ends   timestamptz := moment + keep * interval '1 ms';
    found  hookward.standings;
BEGIN
    found := hookward.newest(wanted, moment);
    IF found.kind = 'd' AND hookward.stands(found, moment) THEN
        RETURN;
    END IF;
    INSERT INTO hookward.standings (fence, since, fingerprint, expires, leaves, key, kind)
        VALUES (holder, wall, body, ends, greatest(ends, found.leaves, moment + interval '1 min'),
            wanted, 'd');
    IF other IS NOT NULL THEN
        INSERT INTO hookward.aliases (leaves, alias, key) VALUES (ends, other, wanted);
    END IF;
END $$;

-- Stores an event with its destinations, and ends the claims under which it was held.
--
-- tokens   one for each destination: the fence of its claim if `claimed`, else a number of its own.
--          What is told twice under the same token is stored once.
-- holders  the fences of live attempts that go on; 0: there is none
-- places   those of holds of lanes; 0: there is none
-- waits    how long from now an entry is due, or the lease of its attempt ends, in ms
-- word     what copies that wait on other instances are told
-- Gives for each destination its number, its state, and whether it took the place of a dead one. A
-- state other than 'q' and 'f' is of an entry that was there: 'D' if the destination has the event.
-- Refused with HW001, and nothing stored, if a claim is not ours any more.
CREATE FUNCTION hookward.accept(
    keys uuid[], others uuid[], lanes uuid[], dests text[], tokens bigint[], claimed boolean[],
    holders bigint[], places_ bigint[], states "char"[], waits bigint[], tries bytea[],
    origin text, named bytea, hashed bigint, arrived bigint, body bigint, keep bigint,
    is_holding boolean, bytes integer, content bytea, word text, wall bigint, within bigint)
RETURNS TABLE (number bigint, stood "char", revived boolean)
LANGUAGE plpgsql AS $$
DECLARE
    moment  timestamptz;
    ms      bigint;
    current bigint;
    event_  bigint;
    found   hookward.standings;
    old     hookward.entries;
    own     bigint;
    becomes "char";
BEGIN
    PERFORM hookward.durably();
    PERFORM set_config('lock_timeout', within || 'ms', true);
    PERFORM hookward.lock_keys(keys || lanes);
    moment := clock_timestamp();
    ms := hookward.now_ms();
    FOR i IN 1 .. cardinality(keys) LOOP
        revived := false;
        found := hookward.newest(keys[i], moment);
        old := NULL;
        SELECT * INTO old FROM hookward.entries AS e WHERE e.key = keys[i] FOR UPDATE;
        IF old.token = tokens[i] THEN
            number := old.seq;
            stood := CASE WHEN holders[i] <> 0 THEN 'f'::"char" ELSE 'q'::"char" END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF old.seq IS NOT NULL AND old.state <> 'x' THEN
            number := old.seq;
            stood := CASE WHEN old.state IN ('q', 'f') THEN 'b'::"char" ELSE old.state END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF hookward.stands(found, moment) AND NOT (claimed[i] AND found.kind = 'f' AND found.fence = tokens[i]) THEN
            IF found.kind <> 'd' THEN
                RAISE EXCEPTION 'the claim on this event is another one by now' USING ERRCODE = 'HW001';
            END IF;
            number := 0;
            stood := 'D';
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF event_ IS NULL THEN
            SELECT max(slot) INTO current FROM hookward.slots;
            event_ := nextval('hookward.numbers');
            EXECUTE format('INSERT INTO hookward.events_%s VALUES ($1, $2)', current) USING event_, content;
        END IF;
        own := nextval('hookward.numbers');
        number := own;
        IF old.seq IS NOT NULL THEN
            DELETE FROM hookward.entries WHERE seq = old.seq;
            revived := true;
            own := CASE WHEN old.lane = lanes[i] THEN old.place ELSE own END;
        END IF;
        IF places_[i] <> 0 THEN
            own := places_[i];
            DELETE FROM hookward.lane_holds WHERE place = own;
        END IF;
        becomes := states[i];
        IF becomes = 'q' AND lanes[i] IS NOT NULL THEN
            becomes := 'b';
        END IF;
        INSERT INTO hookward.entries (seq, event, slot, due, fence, token, place, accepted, began,
                fingerprint, ttl, id_hash, size, state, holds, key, alias, lane, source, dest, name, progress)
            VALUES (number, event_, current, ms + waits[i], holders[i], tokens[i], own, arrived,
                CASE WHEN holders[i] = 0 THEN 0 ELSE wall END,
                body, keep, hashed, bytes, becomes, is_holding, keys[i], others[i], lanes[i], origin,
                dests[i], named, tries[i]);
        PERFORM hookward.advance(lanes[i], revived);
        IF old.lane IS DISTINCT FROM lanes[i] THEN
            PERFORM hookward.advance(old.lane, false);
        END IF;
        stood := states[i];
        RETURN NEXT;
        IF claimed[i] THEN
            INSERT INTO hookward.standings (fence, since, expires, leaves, key, kind, note)
                VALUES (tokens[i], wall, moment + interval '5 s',
                    greatest(found.leaves, moment + interval '1 min'), keys[i], 'r', word);
        END IF;
    END LOOP;
END $$;

-- Takes entries that are due: at most `rooms` of each destination. One whose lease is over is taken
-- from an instance that is not heard of any more. The last row, of number 0, says in `due` when
-- something else will be due.
CREATE FUNCTION hookward.take(
    dests text[], rooms integer[], leases bigint[], sources text[], holder bigint, wall bigint)
RETURNS SETOF hookward.entries
LANGUAGE plpgsql AS $$
DECLARE
    ms    bigint := hookward.now_ms();
    later bigint;
    next_ hookward.entries;
BEGIN
    FOR i IN 1 .. cardinality(dests) LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM hookward.pauses AS p
                WHERE p.dest = dests[i] AND p.starts <= wall AND (p.ends = 0 OR p.ends > wall));
        IF rooms[i] > 0 THEN
            -- Gives each row as it was before, with the number of this attempt.
            RETURN QUERY
                WITH ready AS (
                    SELECT * FROM hookward.entries AS e
                        WHERE e.dest = dests[i] AND e.state IN ('q', 'f') AND e.due <= ms
                            AND (sources IS NULL OR e.source = ANY (sources))
                        ORDER BY e.due LIMIT rooms[i] FOR UPDATE SKIP LOCKED
                ), taken AS (
                    UPDATE hookward.entries AS e
                        SET state = 'f', due = ms + leases[i], fence = holder, began = wall
                        FROM ready WHERE e.seq = ready.seq
                )
                SELECT * FROM ready;
        END IF;
        SELECT e.due INTO later FROM hookward.entries AS e
            WHERE e.dest = dests[i] AND e.state IN ('q', 'f') AND e.due > ms
                AND (sources IS NULL OR e.source = ANY (sources))
            ORDER BY e.due LIMIT 1;
        next_.due := least(next_.due, later);
    END LOOP;
    next_.due := next_.due - ms;
    next_.seq := 0;
    RETURN NEXT next_;
END $$;

-- The bytes of an entry's event.
CREATE FUNCTION hookward.content(wanted bigint) RETURNS bytea
LANGUAGE plpgsql AS $$
DECLARE
    entry hookward.entries;
    found bytea;
BEGIN
    SELECT * INTO entry FROM hookward.entries WHERE seq = wanted;
    IF entry.slot IS NULL OR entry.slot = 0 THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT sealed FROM hookward.events_%s WHERE event = $1', entry.slot)
        INTO found USING entry.event;
    RETURN found;
END $$;

-- Ends an attempt: the entry is due again after `wait` ('q'), dead for as long ('x'), or its
-- destination has it ('d') and it is kept for as long. Whether that was the end of this attempt; a
-- delivery is noted in any case.
CREATE FUNCTION hookward.end_attempt(
    wanted bigint, holder bigint, becomes "char", wait bigint, tried bytea,
    id uuid, other uuid, body bigint, keep bigint, wall bigint, within bigint)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    entry   hookward.entries;
    is_ours boolean;
BEGIN
    PERFORM set_config('lock_timeout', within || 'ms', true);
    SELECT * INTO entry FROM hookward.entries WHERE seq = wanted;
    PERFORM hookward.lock_keys(ARRAY[id, other, entry.lane]);
    SELECT * INTO entry FROM hookward.entries WHERE seq = wanted FOR UPDATE;
    is_ours := coalesce(entry.state = 'f' AND entry.fence = holder, false);
    IF becomes = 'd' THEN
        PERFORM hookward.remember(id, other, holder, wall, body, keep);
        IF entry.seq IS NULL THEN
            RETURN false;
        END IF;
        IF wait = 0 OR entry.slot = 0 THEN
            DELETE FROM hookward.entries WHERE seq = wanted;
        ELSE
            UPDATE hookward.entries SET state = 'd', due = hookward.now_ms() + wait, lane = NULL,
                progress = tried WHERE seq = wanted;
        END IF;
        PERFORM hookward.advance(entry.lane, false);
        RETURN true;
    END IF;
    IF is_ours THEN
        -- An earlier one of its lane may have come back meanwhile.
        UPDATE hookward.entries
            SET state = CASE WHEN becomes = 'q' AND lane IS NOT NULL THEN 'b'::"char" ELSE becomes END,
                due = hookward.now_ms() + wait, progress = tried WHERE seq = wanted;
        PERFORM hookward.advance(entry.lane, false);
    END IF;
    RETURN is_ours;
END $$;

-- Makes entries due now, whose attempts are still as they were read; how many.
CREATE FUNCTION hookward.replay(wanted bigint[], before bytea[], after_ bytea[]) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    entry   hookward.entries;
    changed integer := 0;
BEGIN
    PERFORM hookward.durably();
    FOR i IN 1 .. cardinality(wanted) LOOP
        SELECT * INTO entry FROM hookward.entries WHERE seq = wanted[i];
        CONTINUE WHEN entry.seq IS NULL;
        PERFORM hookward.lock_keys(ARRAY[entry.key, entry.lane]);
        UPDATE hookward.entries
            SET state = CASE WHEN lane IS NULL THEN 'q'::"char" ELSE 'b'::"char" END, due = hookward.now_ms(),
                progress = after_[i]
            WHERE seq = wanted[i] AND state IN ('q', 'b', 'x', 'd') AND progress = before[i] AND slot <> 0;
        IF FOUND THEN
            changed := changed + 1;
            PERFORM hookward.advance(entry.lane, true);
        END IF;
    END LOOP;
    PERFORM pg_notify('hookward', '');
    RETURN changed;
END $$;

-- Never sends these entries again, and remembers that for their ttl; of which destinations. An attempt
-- that has ended since they were read is no reason to send one again, so that history is left as it is.
CREATE FUNCTION hookward.discard(wanted bigint[], before bytea[], after_ bytea[]) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    entry   hookward.entries;
    changed text[] := ARRAY[]::text[];
BEGIN
    PERFORM hookward.durably();
    FOR i IN 1 .. cardinality(wanted) LOOP
        SELECT * INTO entry FROM hookward.entries WHERE seq = wanted[i];
        CONTINUE WHEN entry.seq IS NULL;
        PERFORM hookward.lock_keys(ARRAY[entry.key, entry.lane]);
        UPDATE hookward.entries
            SET state = 'n', due = hookward.now_ms() + ttl, lane = NULL, slot = 0, size = 0,
                progress = CASE WHEN progress = before[i] THEN after_[i] ELSE progress END
            WHERE seq = wanted[i] AND state IN ('q', 'b', 'f', 'x');
        IF FOUND THEN
            changed := changed || entry.dest;
            PERFORM hookward.advance(entry.lane, false);
        END IF;
    END LOOP;
    RETURN changed;
END $$;

-- Removes entries whatever their state is; of which destinations, and in which slots their bytes lie.
CREATE FUNCTION hookward.erase(ids uuid[]) RETURNS TABLE (removed text, lies_in bigint)
LANGUAGE plpgsql AS $$
DECLARE
    entry hookward.entries;
BEGIN
    PERFORM hookward.durably();
    PERFORM hookward.lock_keys(ids);
    FOR entry IN SELECT * FROM hookward.entries WHERE key = ANY (ids) LOOP
        PERFORM hookward.lock_keys(ARRAY[entry.lane]);
        DELETE FROM hookward.entries WHERE seq = entry.seq;
        PERFORM hookward.advance(entry.lane, false);
        removed := entry.dest;
        lies_in := entry.slot;
        RETURN NEXT;
    END LOOP;
END $$;

-- Removes what was kept long enough.
CREATE FUNCTION hookward.expire() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    entry hookward.entries;
BEGIN
    FOR entry IN
        SELECT * FROM hookward.entries WHERE state IN ('x', 'd', 'n') AND due <= hookward.now_ms()
            ORDER BY due LIMIT 1000 FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM hookward.lock_keys(ARRAY[entry.lane]);
        DELETE FROM hookward.entries WHERE seq = entry.seq;
        PERFORM hookward.advance(entry.lane, false);
    END LOOP;
END $$;

-- Releases the holds of lanes whose instance is not heard of any more.
CREATE FUNCTION hookward.expire_holds() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    hold hookward.lane_holds;
BEGIN
    FOR hold IN
        SELECT * FROM hookward.lane_holds WHERE until <= hookward.now_ms()
            LIMIT 1000 FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM hookward.lock_keys(ARRAY[hold.lane]);
        DELETE FROM hookward.lane_holds WHERE place = hold.place;
        PERFORM hookward.advance(hold.lane, false);
    END LOOP;
END $$;

-- Drops a slot, after copying forward what is needed of it; whether that could be done now. Nobody
-- is kept waiting for it.
CREATE FUNCTION hookward.drop_slot(old bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    current bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7525899362094768997);
    SELECT max(slot) INTO current FROM hookward.slots;
    IF old = current THEN
        current := hookward.open_slot();
    END IF;
    IF NOT EXISTS (SELECT FROM hookward.slots WHERE slot = old) THEN
        RETURN true;
    END IF;
    PERFORM set_config('lock_timeout', '200ms', true);
    EXECUTE format('LOCK TABLE hookward.events_%s IN ACCESS EXCLUSIVE MODE', old);
    IF EXISTS (SELECT FROM hookward.entries WHERE slot = old) THEN
        EXECUTE format('INSERT INTO hookward.events_%s SELECT * FROM hookward.events_%s AS o
            WHERE EXISTS (SELECT FROM hookward.entries AS e WHERE e.slot = $1 AND e.event = o.event)',
            current, old) USING old;
        UPDATE hookward.entries SET slot = current WHERE slot = old;
    END IF;
    EXECUTE format('DROP TABLE hookward.events_%s', old);
    DELETE FROM hookward.slots WHERE slot = old;
    RETURN true;
END $$;

-- Whether a slot holds bytes of events which nobody needs.
CREATE FUNCTION hookward.has_rests(wanted bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    found boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM hookward.events_%s AS o WHERE NOT EXISTS (
        SELECT FROM hookward.entries AS e WHERE e.slot = $1 AND e.event = o.event))', wanted)
        INTO found USING wanted;
    RETURN found;
END $$;

-- Deletes the bytes of events which nobody needs; VACUUM then gives their space back.
CREATE FUNCTION hookward.clean_slot(wanted bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM hookward.events_%s AS o WHERE NOT EXISTS (
        SELECT FROM hookward.entries AS e WHERE e.slot = $1 AND e.event = o.event)', wanted)
        USING wanted;
END $$;

-- Closes the newest slot if it is large or events in it have ended, and says which slots are to be
-- dropped: those of which nothing is needed, and those of which less than a quarter is; and which
-- are to be cleaned, because of what is left in them of events that ended.
CREATE FUNCTION hookward.look_after_slots() RETURNS TABLE (which bigint, is_to_drop boolean)
LANGUAGE plpgsql AS $$
DECLARE
    one    hookward.slots;
    newest bigint;
    bytes  bigint;
    needed bigint;
    age    bigint;
    is_small boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7525899362094768997) THEN
        RETURN;
    END IF;
    SELECT max(slot) INTO newest FROM hookward.slots;
    FOR one IN SELECT * FROM hookward.slots ORDER BY slot LOOP
        bytes := pg_total_relation_size(to_regclass('hookward.events_' || one.slot));
        -- An empty one has its indexes alone.
        CONTINUE WHEN bytes <= 16384 AND one.slot = newest;
        SELECT coalesce(sum(e.size), 0) INTO needed FROM hookward.entries AS e WHERE e.slot = one.slot;
        age := hookward.now_ms() - one.opened;
        which := one.slot;
        -- What is little is copied forward in no time.
        is_small := needed < 65536 OR needed * 4 < bytes AND bytes > 1048576;
        is_to_drop := one.slot <> newest AND (needed = 0 OR age > 30000 AND is_small);
        CONTINUE WHEN NOT is_to_drop AND bytes <= 67108864
            AND (age <= 15000 OR NOT hookward.has_rests(one.slot));
        IF one.slot = newest AND (bytes > 67108864 OR is_small) THEN
            PERFORM hookward.open_slot();
        ELSIF is_to_drop OR age > 30000 AND hookward.has_rests(one.slot) THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- How the entries stand of each destination: how many are ready, wait, are in flight, dead,
-- delivered and discarded; their bytes; when the oldest that waits was accepted; for how long the
-- first one has been due; how many lanes a dead entry holds up.
CREATE FUNCTION hookward.figures(wall bigint)
RETURNS TABLE (
    to_ text, ready bigint, waiting bigint, in_flight bigint, dead bigint, delivered bigint,
    discarded bigint, bytes bigint, oldest bigint, overdue bigint, blocked bigint)
LANGUAGE plpgsql AS $$
DECLARE
    ms bigint := hookward.now_ms();
BEGIN
    RETURN QUERY
        SELECT e.dest,
            count(*) FILTER (WHERE e.state = 'q' AND e.due <= ms),
            count(*) FILTER (WHERE e.state = 'b' OR e.state = 'q' AND e.due > ms),
            count(*) FILTER (WHERE e.state = 'f'),
            count(*) FILTER (WHERE e.state = 'x'),
            count(*) FILTER (WHERE e.state = 'd'),
            count(*) FILTER (WHERE e.state = 'n'),
            sum(e.size)::bigint,
            min(e.accepted) FILTER (WHERE e.state IN ('q', 'b', 'f')),
            ms - min(e.due) FILTER (WHERE e.state IN ('q', 'f') AND e.due <= ms),
            count(DISTINCT e.lane) FILTER (WHERE e.state = 'x' AND e.holds AND e.lane IS NOT NULL)
        FROM hookward.entries AS e GROUP BY e.dest;
END $$;

-- As in version 1; besides, a key with an entry is stored ('q') and cannot be claimed.
CREATE FUNCTION hookward.kept(wanted uuid, OUT since bigint, OUT body bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT e.accepted, e.fingerprint INTO since, body FROM hookward.entries AS e
        WHERE e.key = wanted AND e.state <> 'x';
END $$;

-- How each key stands, after taking those that were absent if `take` says so.
--
-- leases   how long each claim holds, in ms
-- kept     how long each alias is kept, in ms
-- wall     what the clock of the instance says, in ms
-- within   how long to wait for a lock, in ms
-- Gives for each key: its kind ('c' if it is now the caller's, NULL if it is absent), since when,
-- the fingerprint, the ms until it expires, and its note.
CREATE OR REPLACE FUNCTION hookward.claim(
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
    stored   record;
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
        stored := hookward.kept(keys[i]);
        IF stored.since IS NOT NULL THEN
            RETURN QUERY SELECT 'q'::"char", stored.since, stored.body, 0::bigint, '';
            CONTINUE;
        END IF;
        IF names[i] IS NOT NULL THEN
            SELECT * INTO named FROM hookward.aliases AS a
                WHERE a.alias = names[i] AND a.leaves > moment ORDER BY a.number DESC LIMIT 1;
            IF named.key <> keys[i] THEN
                found := hookward.newest(named.key, moment);
                is_taken := hookward.stands(found, moment);
                stored := hookward.kept(named.key);
                IF NOT is_taken AND stored.since IS NOT NULL THEN
                    RETURN QUERY SELECT 'q'::"char", stored.since, stored.body, 0::bigint, '';
                    CONTINUE;
                END IF;
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
CREATE OR REPLACE FUNCTION hookward.settle(
    wanted uuid, holder bigint, verdict "char", wall bigint, body bigint, keep bigint, word text,
    within bigint)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    moment      timestamptz;
    ends    timestamptz;
    found   hookward.standings;
    is_ours boolean;
    entry   hookward.entries;
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
    -- An acceptance whose answer was lost may have stored what was delivered since.
    IF verdict = 'd' THEN
        DELETE FROM hookward.entries AS e WHERE e.key = wanted AND e.token = holder RETURNING * INTO entry;
        PERFORM hookward.lock_keys(ARRAY[entry.lane]);
        PERFORM hookward.advance(entry.lane, false);
    END IF;
    RETURN true;
END $$;

-- Sends nothing to a destination until `until`, or ends a pause.
CREATE FUNCTION hookward.pause(named text, is_pause boolean, until bigint, wall bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hookward.durably();
    PERFORM pg_advisory_xact_lock(7525899362094768998);
    -- No budget of an event goes back so far.
    DELETE FROM hookward.pauses WHERE ends <> 0 AND ends < wall - 7776000000;
    UPDATE hookward.pauses SET ends = wall WHERE dest = named AND (ends = 0 OR ends > wall);
    IF is_pause THEN
        INSERT INTO hookward.pauses VALUES (named, wall, until);
    END IF;
    PERFORM pg_notify('hookward', '');
END $$;

-- The slots that hold bytes of events which nobody needs.
CREATE FUNCTION hookward.slots_with_rests() RETURNS SETOF bigint
LANGUAGE sql AS $$
    SELECT slot FROM hookward.slots WHERE hookward.has_rests(slot) ORDER BY slot
$$;

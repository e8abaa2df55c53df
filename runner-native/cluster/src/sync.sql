-- What relays share, and the function of one exchange, as sync.lua has them in Redis. After a crash of the server the tables are empty, and
-- relays claim anew what they serve. The name of the function has the version of all this.
SELECT pg_advisory_xact_lock(hashtext('hvym_tunnel_cluster'));

CREATE UNLOGGED TABLE IF NOT EXISTS hvym_tunnel_cluster (
    id integer PRIMARY KEY CHECK (id = 1),
    epoch bigint NOT NULL,
    -- Up to which epoch it is forgotten what is gone.
    floor bigint NOT NULL
);
CREATE UNLOGGED TABLE IF NOT EXISTS hvym_tunnel_cluster_relays (
    relay text PRIMARY KEY,
    about text NOT NULL,
    alive_until timestamptz NOT NULL
);
CREATE UNLOGGED TABLE IF NOT EXISTS hvym_tunnel_cluster_services (
    service text PRIMARY KEY,
    epoch bigint NOT NULL,
    -- NULL: nobody serves it any more.
    relay text,
    record text
);
CREATE INDEX IF NOT EXISTS hvym_tunnel_cluster_services_epoch ON hvym_tunnel_cluster_services (epoch);

CREATE OR REPLACE FUNCTION hvym_tunnel_cluster_sync_1(
    asking text,
    told text,
    lease_ms bigint,
    seen bigint,
    claimed text[],
    records text[],
    take_over boolean[],
    released text[],
    held_by bigint[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    -- Services that are gone and remembered, for relays that ask what has changed.
    max_gone CONSTANT integer := 10000;
    -- Every so many epochs what is more is forgotten.
    forget_every CONSTANT bigint := 1000;
    moment timestamptz;
    stored bigint;
    last bigint;
    oldest bigint;
    is_new boolean;
    ended text[];
    holder text;
    answers bigint[] := '{}';
BEGIN
    -- One exchange at a time: each sees what the one before has done.
    PERFORM pg_advisory_xact_lock(hashtext('hvym_tunnel_cluster'));
    moment := clock_timestamp();
    INSERT INTO hvym_tunnel_cluster VALUES (1, 0, 0) ON CONFLICT DO NOTHING;
    SELECT c.epoch INTO stored FROM hvym_tunnel_cluster c;
    last := greatest(stored, seen);

    -- Relays whose lease is over have nothing any more, the asking one included.
    is_new := NOT EXISTS (
        SELECT FROM hvym_tunnel_cluster_relays r WHERE r.relay = asking AND r.alive_until > moment
    );
    WITH removed AS (DELETE FROM hvym_tunnel_cluster_relays r WHERE r.alive_until <= moment RETURNING r.relay)
    SELECT array_agg(removed.relay) INTO ended FROM removed;
    IF ended IS NOT NULL THEN
        UPDATE hvym_tunnel_cluster_services s SET epoch = last + 1, relay = NULL, record = NULL
        WHERE s.relay = ANY (ended);
        IF FOUND THEN
            last := last + 1;
        END IF;
    END IF;
    INSERT INTO hvym_tunnel_cluster_relays AS r VALUES (asking, told, moment + lease_ms * interval '1 millisecond')
    ON CONFLICT (relay) DO UPDATE SET about = excluded.about, alive_until = excluded.alive_until;

    FOR i IN 1 .. cardinality(claimed) LOOP
        holder := NULL;
        SELECT s.relay INTO holder FROM hvym_tunnel_cluster_services s WHERE s.service = claimed[i];
        IF holder <> asking AND NOT take_over[i] THEN
            answers := answers || 0::bigint;
        ELSE
            last := last + 1;
            INSERT INTO hvym_tunnel_cluster_services AS s VALUES (claimed[i], last, asking, records[i])
            ON CONFLICT (service) DO UPDATE
            SET epoch = excluded.epoch, relay = excluded.relay, record = excluded.record;
            answers := answers || last;
        END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(released) LOOP
        UPDATE hvym_tunnel_cluster_services s SET epoch = last + 1, relay = NULL, record = NULL
        WHERE s.service = released[i] AND s.relay = asking AND s.epoch = held_by[i];
        IF FOUND THEN
            last := last + 1;
        END IF;
    END LOOP;

    IF last / forget_every > stored / forget_every THEN
        SELECT s.epoch INTO oldest FROM hvym_tunnel_cluster_services s WHERE s.relay IS NULL
        ORDER BY s.epoch DESC OFFSET max_gone LIMIT 1;
        IF FOUND THEN
            DELETE FROM hvym_tunnel_cluster_services s WHERE s.relay IS NULL AND s.epoch <= oldest;
            UPDATE hvym_tunnel_cluster c SET floor = greatest(c.floor, oldest);
        END IF;
    END IF;
    IF last > stored THEN
        UPDATE hvym_tunnel_cluster SET epoch = last;
    END IF;
    IF last > stored OR is_new OR ended IS NOT NULL THEN
        PERFORM pg_notify('hvym_tunnel_cluster', asking);
    END IF;
    RETURN ARRAY[last, is_new::integer::bigint] || answers;
END
$$;

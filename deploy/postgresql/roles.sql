-- Rights of the hub's database roles, for PostgreSQL. Run by the owner of the schema, after `vlagwijzer hub
-- migrate` and again after each upgrade; running it twice is harmless. The roles get no password here: let
-- them log in as your site does it (peer, certificate, scram), by membership of one of these.
--
--   vlagwijzer_migrator   owns the schema, changes it; used by `hub migrate` only
--   vlagwijzer_app        the hub: its log it may only read and extend
--   vlagwijzer_shredder   erases lines: may null `sealed` of an entry, and nothing else
--   vlagwijzer_officer    reads the log and nothing of flags, choices or relations
--
-- Triggers refuse a shrinking tree and a rewritten line to every role, also to the owner's slips.

DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'vlagwijzer_migrator', 'vlagwijzer_app', 'vlagwijzer_shredder', 'vlagwijzer_officer'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public
    FROM PUBLIC, vlagwijzer_app, vlagwijzer_shredder, vlagwijzer_officer;
GRANT USAGE ON SCHEMA public TO vlagwijzer_app, vlagwijzer_shredder, vlagwijzer_officer;
GRANT USAGE, CREATE ON SCHEMA public TO vlagwijzer_migrator;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO vlagwijzer_migrator;

-- The hub. What only grows: the log, and the ledger of choices.
GRANT SELECT ON alembic_version TO vlagwijzer_app;
GRANT SELECT, INSERT ON entry, handle, tile, heads, erasure, directive, policy_version, act, scope_key, figure
    TO vlagwijzer_app;
GRANT SELECT, INSERT, UPDATE ON tree TO vlagwijzer_app;
GRANT SELECT, INSERT, DELETE ON spent TO vlagwijzer_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON cosignature TO vlagwijzer_app;
GRANT SELECT, INSERT, UPDATE ON
    marker, digest, heartbeat, choice_state, relation, message, escrow_session, standing,
    inquiry, sample, opening, hold, review
    TO vlagwijzer_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON flag, postponed, claim, watch, errand TO vlagwijzer_app;

-- Erasure of lines.
GRANT SELECT ("year", "index"), UPDATE (sealed) ON entry TO vlagwijzer_shredder;

-- Officers and their tools read the log. What is sealed in it stays sealed without the log's keys.
GRANT SELECT ON entry, handle, tile, tree, heads, cosignature, erasure TO vlagwijzer_officer;

-- history of format 1, at 1700000001222
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592001222);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000001222,'step.completed','walk',X'0181A56974656D7328');
INSERT INTO "event" VALUES(4,1700000001222,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','looping',1,'completed','main',1,X'0181A16E28',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,1700000001222,NULL,1,NULL,0,0,0,0,500,2,15,X'0183A4646F6E6528A5746F74616C28A4756E6974A56974656D73',NULL,X'0193CD030CA2333928',NULL,X'0181A5757361676585A9726F77735F7265616441A563616C6C7301AA616C61726D735F73657402AC616C61726D735F666972656401A96163746976655F6D73CD04BE',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
INSERT INTO "outbox" VALUES(1,'catalog',X'01A56669727374',0,1700000000000);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('walk',1,'each','completed',1,0,NULL,1700000000022,1700000001222,X'0187A6637572736F72C0A5737461746582A5746F74616CCD030CA46C617374A23339A56974656D7328A76261746368657304A473697A6550A76365696C696E67CD03E8A4646F6E65C3',NULL,NULL);
COMMIT;

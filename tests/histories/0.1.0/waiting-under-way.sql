-- history of format 1, at 1700000000028
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('wait',1700086400024);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000010,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000000024,'step.completed','event go',NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
INSERT INTO "inbox" VALUES(1,'go',NULL,NULL,1);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','waiting',1,'suspended','main',1,X'0181A16E01',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000010,NULL,NULL,1,NULL,0,0,0,0,1000,3,16,NULL,NULL,NULL,NULL,X'0181A5757361676585A9726F77735F726561642BA563616C6C7301AA616C61726D735F73657403AC616C61726D735F666972656401A96163746976655F6D730E',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('event go',1,'wait','completed',1,0,NULL,1700000000024,1700000000024,X'0181A26279A3416461',NULL,NULL);
INSERT INTO "step" VALUES('token',2,'token','waiting',1,0,1700086400024,1700000000024,NULL,NULL,NULL,NULL);
INSERT INTO "step" VALUES('wait',3,'wait','waiting',1,0,1700086400024,1700000000024,NULL,NULL,NULL,NULL);
COMMIT;

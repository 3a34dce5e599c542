-- history of format 1, at 1700000060024
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592060024);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000000022,'step.completed','map[0]',NULL);
INSERT INTO "event" VALUES(4,1700000000022,'step.completed','map[1]',NULL);
INSERT INTO "event" VALUES(5,1700000000022,'step.completed','add[0]',NULL);
INSERT INTO "event" VALUES(6,1700000060024,'step.completed','add[1]',NULL);
INSERT INTO "event" VALUES(7,1700000060024,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','parallel',1,'completed','main',2,X'0181A16E02',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,1700000060024,NULL,2,NULL,0,0,0,0,1000,5,30,NULL,NULL,X'019400020102',NULL,X'0181A5757361676585A9726F77735F726561646CA563616C6C7302AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D7312',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
INSERT INTO "outbox" VALUES(1,'catalog',X'',0,1700000060024);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add[0]',5,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0101',NULL,NULL);
INSERT INTO "step" VALUES('add[1]',6,'step','completed',1,0,NULL,1700000060024,1700000060024,X'0102',NULL,NULL);
INSERT INTO "step" VALUES('map[0]',1,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0100',NULL,NULL);
INSERT INTO "step" VALUES('map[1]',2,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0102',NULL,NULL);
INSERT INTO "step" VALUES('sleep[0]',3,'sleep','completed',1,0,NULL,1700000000022,1700000000022,NULL,NULL,NULL);
INSERT INTO "step" VALUES('sleep[1]',4,'sleep','completed',1,0,NULL,1700000000022,1700000060024,NULL,NULL,NULL);
COMMIT;

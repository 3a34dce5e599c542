-- history of format 1, at 1700000070000
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('flaky',1700000120024);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000000022,'step.retrying','flaky',X'0182A7617474656D707401A56572726F72A9726574727961626C65');
INSERT INTO "event" VALUES(4,1700000060024,'step.retrying','flaky',X'0182A7617474656D707402A56572726F72A9726574727961626C65');
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','retried',1,'suspended','main',2,X'0181A16E01',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,NULL,NULL,2,NULL,0,0,0,0,500,6,17,NULL,NULL,NULL,NULL,X'0181A5757361676585A9726F77735F7265616432A563616C6C7302AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D7312',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('flaky',1,'step','retrying',3,0,1700000120024,1700000000022,NULL,NULL,X'0184A4636F6465A9726574727961626C65A76D657373616765A76E6F7420796574A473746570A5666C616B79A7617474656D707402',X'0187AC6D61785F617474656D70747304B3696E697469616C5F696E74657276616C5F6D73CDEA60B36261636B6F66665F636F656666696369656E74CB4000000000000000AF6D61785F696E74657276616C5F6D73CDEA60A66A6974746572A46E6F6E65AD6E6F6E5F726574727961626C6590AC6F6E5F657868617573746564A46661696C');
COMMIT;

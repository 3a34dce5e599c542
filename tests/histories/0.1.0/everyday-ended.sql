-- history of format 1, at 1700000000112
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592000112);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000000022,'step.completed','add',NULL);
INSERT INTO "event" VALUES(4,1700000000022,'step.completed','add#2',NULL);
INSERT INTO "event" VALUES(5,1700000000022,'step.completed','add#3',NULL);
INSERT INTO "event" VALUES(6,1700000000022,'step.completed','make',NULL);
INSERT INTO "event" VALUES(7,1700000000022,'log',NULL,X'0182A76D657373616765A868616C662D776179A66669656C647381A5746F74616C03');
INSERT INTO "event" VALUES(8,1700000000112,'step.completed','book',NULL);
INSERT INTO "event" VALUES(9,1700000000112,'step.failed','refuse',X'0182A7617474656D707401A56572726F72A772656675736564');
INSERT INTO "event" VALUES(10,1700000000112,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','everyday',1,'completed','main',1,X'0181A16E03',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,1700000000112,NULL,1,NULL,0,0,0,0,500,2,24,X'0183A4646F6E6501A5746F74616C02A4756E6974A56974656D73',X'0181A46D616465A474657874',X'0185A5746F74616C03A46D61646504A6626F6F6B656403A4636F6465A772656675736564A5647261776E92CB3FEFA5FBDD1C5E2AD92433613937613539322D656465312D383531342D613664362D626132353362646337356464',NULL,X'0181A5757361676585A9726F77735F726561645BA563616C6C7301AA616C61726D735F73657402AC616C61726D735F666972656401A96163746976655F6D7368',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
INSERT INTO "outbox" VALUES(1,'catalog',X'01A56669727374',0,1700000000000);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add',1,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0100',NULL,NULL);
INSERT INTO "step" VALUES('add#2',2,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0101',NULL,NULL);
INSERT INTO "step" VALUES('add#3',3,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0103',NULL,NULL);
INSERT INTO "step" VALUES('book',6,'transaction','completed',1,0,NULL,1700000000022,1700000000112,X'0103',NULL,NULL);
INSERT INTO "step" VALUES('make',4,'step','completed',1,0,NULL,1700000000022,1700000000022,X'0182A5746F74616C04A46C617374A474657874',NULL,NULL);
INSERT INTO "step" VALUES('now',5,'now','completed',1,0,NULL,1700000000022,1700000000022,X'01CF0000018BCFE56816',NULL,NULL);
INSERT INTO "step" VALUES('refuse',7,'step','failed',1,0,NULL,1700000000112,1700000000112,NULL,X'0184A4636F6465A772656675736564A76D657373616765A26E6FA473746570A6726566757365A7617474656D707401',NULL);
COMMIT;

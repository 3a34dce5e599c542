-- history of format 1, at 1700000051144
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592051139);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000001125,'step.completed','kids',X'0182A973756363656564656402A66661696C656400');
INSERT INTO "event" VALUES(4,1700000001155,'step.completed','one more',X'0181A66A6F625F6964BE72756E5F357173396733706362746274646E656B6B64366E317A32657871');
INSERT INTO "event" VALUES(5,1700000051139,'step.completed','wait for child',NULL);
INSERT INTO "event" VALUES(6,1700000051139,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','family',1,'completed','main',3,X'0181A16E02',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,1700000051139,NULL,3,NULL,0,0,0,0,2000,8,44,X'0183A4646F6E6502A5746F74616C02A4756E6974A86368696C6472656E',NULL,X'0193020264',NULL,X'0181A5757361676585A9726F77735F72656164CCF5A563616C6C7306AA616C61726D735F73657408AC616C61726D735F666972656403A96163746976655F6D73CC80',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
INSERT INTO "outbox" VALUES(2,'catalog',X'',0,1700000051139);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('kids',1,'children','completed',1,0,NULL,1700000000022,1700000001125,X'0187A6637572736F72C0A5737461746582A5746F74616C02A46C617374A0A77374617274656402A973756363656564656402A66661696C656400A86661696C7572657390A7647261696E6564C3',NULL,NULL);
INSERT INTO "step" VALUES('one more',2,'start','completed',1,0,NULL,1700000001125,1700000001155,X'0185A66A6F625F6964BE72756E5F357173396733706362746274646E656B6B64366E317A32657871AD6F6E5F706172656E745F656E64B763616E63656C5F756E6C6573735F636F6D706C65746564AA67656E65726174696F6E00A36F776EC3A773746F70706564C2',NULL,NULL);
INSERT INTO "step" VALUES('wait for child',3,'join','completed',1,0,NULL,1700000001155,1700000051139,X'0185A66A6F625F6964BE72756E5F357173396733706362746274646E656B6B64366E317A32657871A96F7065726174696F6EA86F6E65206D6F7265A76F7574636F6D6585A36B6579A0A66A6F625F6964BE72756E5F357173396733706362746274646E656B6B64366E317A32657871A6737461747573A9636F6D706C65746564A6726573756C7464A56572726F72C0A561736B656400A76C6566745F6D73C0',NULL,NULL);
COMMIT;
-- object run_37yx2p2xmp9j9v07hh231a4mrw
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592001118);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000086,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000094,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000001118,'step.completed','add',NULL);
INSERT INTO "event" VALUES(4,1700000001118,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_37yx2p2xmp9j9v07hh231a4mrw','leaf',1,'completed','main',2,X'0181A16E01',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A131A86465746163686564C2',1700000000086,1700000000094,1700000001118,NULL,2,NULL,0,0,0,0,500,5,21,NULL,NULL,X'0102',NULL,X'0181A5757361676585A9726F77735F7265616444A563616C6C7301AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D731E',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add',2,'step','completed',1,0,NULL,1700000001118,1700000001118,X'0102',NULL,NULL);
INSERT INTO "step" VALUES('sleep',1,'sleep','completed',1,0,NULL,1700000000118,1700000001118,NULL,NULL,NULL);
COMMIT;
-- object run_40502sswca6kx15d0kgv63hc60
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592000028);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000022,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000028,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000000028,'step.completed','add',NULL);
INSERT INTO "event" VALUES(4,1700000000028,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_40502sswca6kx15d0kgv63hc60','leaf',1,'completed','main',1,X'0181A16E00',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A130A86465746163686564C2',1700000000022,1700000000028,1700000000028,NULL,1,NULL,0,0,0,0,500,2,17,NULL,NULL,X'0100',NULL,X'0181A5757361676583A9726F77735F726561641AAA616C61726D735F73657402AC616C61726D735F666972656401',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add',2,'step','completed',1,0,NULL,1700000000028,1700000000028,X'0100',NULL,NULL);
INSERT INTO "step" VALUES('sleep',1,'sleep','completed',1,0,NULL,1700000000028,1700000000028,NULL,NULL,NULL);
COMMIT;
-- object run_5qs9g3pcbtbtdnekkd6n1z2exq
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592051134);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000001125,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000001130,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000051134,'step.completed','add',NULL);
INSERT INTO "event" VALUES(4,1700000051134,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_5qs9g3pcbtbtdnekkd6n1z2exq','leaf',1,'completed','main',2,X'0181A16E32',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA86F6E65206D6F7265A36B6579A130A86465746163686564C3',1700000001125,1700000001130,1700000051134,NULL,2,NULL,0,0,0,0,500,5,23,NULL,NULL,X'0164',NULL,X'0181A5757361676585A9726F77735F7265616455A563616C6C7302AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D7305',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add',2,'step','completed',1,0,NULL,1700000051134,1700000051134,X'0164',NULL,NULL);
INSERT INTO "step" VALUES('sleep',1,'sleep','completed',1,0,NULL,1700000001130,1700000051134,NULL,NULL,NULL);
CREATE TABLE watcher (ref blob primary key) without rowid;
COMMIT;

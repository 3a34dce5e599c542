-- history of format 1, at 1700000002500
-- object run_01hf7yat00sm3jsp5ydyfp42e2
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
INSERT INTO "child" VALUES('kids','3','run_61pgpe7zvda5gehy2bhz9647st',X'0181A16E03',NULL);
INSERT INTO "child" VALUES('kids','4','run_3x302tr41xt9zhedkwb208w2cc',X'0181A16E04',NULL);
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('kids',1700000062102);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000000,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000008,'job.started',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_01hf7yat00sm3jsp5ydyfp42e2','family',1,'suspended','main',3,X'0181A16E05',X'0181A46D6F6465A6646972656374',NULL,1700000000000,1700000000008,NULL,NULL,3,NULL,0,0,0,0,2000,9,39,X'0183A4646F6E6503A5746F74616C05A4756E6974A86368696C6472656E',NULL,NULL,NULL,X'0181A5757361676585A9726F77735F72656164CCB5A563616C6C7307AA616C61726D735F73657408AC616C61726D735F666972656403A96163746976655F6D73CCA1',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('kids',1,'children','waiting',1,0,1700000062102,1700000000022,NULL,X'0187A6637572736F72C0A5737461746582A5746F74616C06A46C617374A0A77374617274656405A973756363656564656403A66661696C656400A86661696C7572657390A7647261696E6564C3',NULL,NULL);
COMMIT;
-- object run_2s6as95vs25svg70q9cdmwpyc9
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('job/retention',1702592002096);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000000086,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000000093,'job.started',NULL,NULL);
INSERT INTO "event" VALUES(3,1700000002096,'step.completed','add',NULL);
INSERT INTO "event" VALUES(4,1700000002096,'job.completed',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_2s6as95vs25svg70q9cdmwpyc9','leaf',1,'completed','main',2,X'0181A16E02',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A132A86465746163686564C2',1700000000086,1700000000093,1700000002096,NULL,2,NULL,0,0,0,0,500,5,21,NULL,NULL,X'0104',NULL,X'0181A5757361676585A9726F77735F7265616433A563616C6C7301AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D7303',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('add',2,'step','completed',1,0,NULL,1700000002096,1700000002096,X'0104',NULL,NULL);
INSERT INTO "step" VALUES('sleep',1,'sleep','completed',1,0,NULL,1700000000093,1700000002096,NULL,NULL,NULL);
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
INSERT INTO "job" VALUES(1,'run_37yx2p2xmp9j9v07hh231a4mrw','leaf',1,'completed','main',2,X'0181A16E01',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A131A86465746163686564C2',1700000000086,1700000000094,1700000001118,NULL,2,NULL,0,0,0,0,500,5,21,NULL,NULL,X'0102',NULL,X'0181A5757361676585A9726F77735F7265616433A563616C6C7301AA616C61726D735F73657404AC616C61726D735F666972656402A96163746976655F6D731E',NULL);
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
-- object run_3x302tr41xt9zhedkwb208w2cc
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('sleep',1700000006137);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000002102,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000002107,'job.started',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_3x302tr41xt9zhedkwb208w2cc','leaf',1,'suspended','main',1,X'0181A16E04',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A134A86465746163686564C2',1700000002102,1700000002107,NULL,NULL,1,NULL,0,0,0,0,500,3,9,NULL,NULL,NULL,NULL,X'0181A5757361676584A9726F77735F726561640FAA616C61726D735F73657402AC616C61726D735F666972656401A96163746976655F6D731E',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('sleep',1,'sleep','waiting',1,0,1700000006137,1700000002137,NULL,NULL,NULL,NULL);
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
INSERT INTO "job" VALUES(1,'run_40502sswca6kx15d0kgv63hc60','leaf',1,'completed','main',1,X'0181A16E00',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A130A86465746163686564C2',1700000000022,1700000000028,1700000000028,NULL,1,NULL,0,0,0,0,500,2,17,NULL,NULL,X'0100',NULL,X'0181A5757361676583A9726F77735F7265616418AA616C61726D735F73657402AC616C61726D735F666972656401',NULL);
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
-- object run_61pgpe7zvda5gehy2bhz9647st
BEGIN TRANSACTION;
CREATE TABLE child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid;
CREATE TABLE due (key text primary key, at_ms integer) without rowid;
INSERT INTO "due" VALUES('sleep',1700000004151);
CREATE TABLE event (seq integer primary key, at_ms integer, kind text, key text, data blob);
INSERT INTO "event" VALUES(1,1700000001143,'job.created',NULL,NULL);
INSERT INTO "event" VALUES(2,1700000001151,'job.started',NULL,NULL);
CREATE TABLE inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer);
CREATE TABLE job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob);
INSERT INTO "job" VALUES(1,'run_61pgpe7zvda5gehy2bhz9647st','leaf',1,'suspended','main',1,X'0181A16E03',X'0181A46D6F6465A6646972656374',X'0184A66A6F625F6964BE72756E5F30316866377961743030736D336A737035796479667034326532A96F7065726174696F6EA46B696473A36B6579A133A86465746163686564C2',1700000001143,1700000001151,NULL,NULL,1,NULL,0,0,0,0,500,3,9,NULL,NULL,NULL,NULL,X'0181A5757361676583A9726F77735F726561640FAA616C61726D735F73657402AC616C61726D735F666972656401',NULL);
CREATE TABLE outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer);
CREATE TABLE schema_version (version integer primary key);
INSERT INTO "schema_version" VALUES(3);
CREATE TABLE step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid;
INSERT INTO "step" VALUES('sleep',1,'sleep','waiting',1,0,1700000004151,1700000001151,NULL,NULL,NULL,NULL);
COMMIT;

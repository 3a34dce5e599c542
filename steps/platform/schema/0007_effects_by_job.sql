-- A job takes its rows of the ledger along when it is deleted.
create index effect_job_idx on wf.effect (split_part(key, ':', 1));

-- The tables of landing and of the warehouse, and the records of models. The schema `features` belongs to dbt.

create schema if not exists landing;
create schema if not exists warehouse;

-- One row per data line of a file that is waiting for its verdict. One partition per file, made by the
-- transaction that fills it. Partitions are unlogged: after a crash of the server they are empty, and
-- the file is landed again from the archive.
create table if not exists landing.demand_rows (
    file_seq bigint not null,
    line_no bigint not null,
    date date,
    store_id text collate "C",
    product_id text collate "C",
    quantity_sold float8,
    price float8,
    promotion boolean
) partition by list (file_seq);

-- One row per fault of a line, at the physical line where its record starts.
create table if not exists landing.rejected_lines (
    file_seq bigint not null,
    line_no bigint not null,
    column_name text not null,
    value text not null,
    rule text not null,
    reason text not null
);
create index if not exists rejected_lines_by_file on landing.rejected_lines (file_seq, rule);

-- One row per distinct content; but while known bytes are loaded anew, their row from before stays
-- beside the new one, and goes when that is published. If the new attempt is refused, both stay: every
-- `file_seq` in `demand_data` has a published row, always. A published file with a reason is not in the
-- data (any more): a replacement superseded it. A withdrawn one counts no more, as if it had never been
-- published, until it is loaded anew. Files of a run that replaces the warehouse carry that run's id in
-- `replace_run`, and how many they are: they are published together or not at all.
create table if not exists warehouse.file_ledger (
    file_seq bigint not null,
    sha256 text not null,
    key text not null,
    bytes bigint not null,
    rows bigint not null,
    rejected bigint not null,
    state text not null,
    reason text,
    run_id text not null,
    replace_run text,
    replace_size int,
    landed_at timestamptz not null default now(),
    decided_at timestamptz,
    published_at timestamptz,
    withdrawn_at timestamptz,
    constraint file_ledger_place primary key (file_seq),
    constraint file_ledger_content unique (sha256, file_seq),
    constraint file_ledger_states check (
        state in ('landed', 'validated', 'published', 'refused', 'withdrawn')
    )
);

-- Ledgers of before, with one row per content at any time.
do $$
begin
    if exists (
        select 1 from pg_constraint
        where conrelid = 'warehouse.file_ledger'::regclass and conname = 'file_ledger_pkey'
    ) then
        alter table warehouse.file_ledger drop constraint file_ledger_pkey;
        alter table warehouse.file_ledger
            add constraint file_ledger_content unique (sha256, file_seq);
    end if;
end $$;

-- Ledgers of before, in which no file was withdrawn.
do $$
begin
    if not exists (
        select 1 from pg_constraint
        where conrelid = 'warehouse.file_ledger'::regclass and conname = 'file_ledger_states'
    ) then
        alter table warehouse.file_ledger
            drop constraint if exists file_ledger_state_check,
            add column if not exists withdrawn_at timestamptz,
            add constraint file_ledger_states check (
                state in ('landed', 'validated', 'published', 'refused', 'withdrawn')
            );
    end if;
end $$;

-- Every replacement of the whole warehouse that was decided on, at its last file's place in the order: a
-- file of a lower `file_seq` must add nothing to it, however late it comes. `contents` are the sha256 of
-- its files that were not withdrawn since: when the last one is, the replacement counts no more, and what
-- it had replaced comes back.
create table if not exists warehouse.replacements (
    file_seq bigint primary key,
    run_id text not null,
    published_at timestamptz not null default now(),
    contents text[] not null
);

-- Replacements of before: of a file that was loaded anew since, they do not know the content any more.
do $$
begin
    if not exists (
        select 1 from pg_attribute
        where attrelid = 'warehouse.replacements'::regclass and attname = 'contents'
    ) then
        alter table warehouse.replacements add column contents text[] not null default '{unknown}';
        update warehouse.replacements r set contents = known.contents from (
            select replace_run, array_agg(sha256) as contents from warehouse.file_ledger
            where state = 'published' group by replace_run
            having count(*) = max(replace_size)
        ) known where known.replace_run = r.run_id;
        alter table warehouse.replacements alter column contents drop default;
    end if;
end $$;

-- What the bucket showed: which version of which key held which content. The one of a key that was seen
-- last is what the key held then.
create table if not exists warehouse.file_objects (
    key text not null,
    version text not null,
    last_modified timestamptz not null,
    size bigint not null,
    sha256 text not null,
    seen_at timestamptz not null default now(),
    primary key (key, version)
);

-- Objects whose reading began and has not come to an end: a run is at it, was killed over it, or could
-- not read it. The row goes when the content is known.
create table if not exists warehouse.file_attempts (
    key text not null,
    version text not null,
    attempts int not null default 1,
    first_at timestamptz not null default clock_timestamp(),
    tried_at timestamptz not null default clock_timestamp(),
    run_id text not null,
    error text,
    primary key (key, version)
);

-- One row per (store_id, product_id, date): quantity sold in units on that day.
create table if not exists warehouse.demand_data (
    date date not null,
    store_id text collate "C" not null,
    product_id text collate "C" not null,
    quantity_sold float8 not null,
    price float8 not null,
    promotion boolean not null,
    file_seq bigint not null,
    constraint demand_data_pkey primary key (store_id, product_id, date)
);

-- The encodings of ids. Rows are added, never changed and never removed.
create table if not exists warehouse.id_codes (
    kind text not null check (kind in ('store', 'product')),
    id text collate "C" not null,
    code int not null check (code >= 1),
    primary key (kind, id),
    unique (kind, code)
);

-- From which day on a store's features have to be computed again. Cleared when dbt's tests have passed.
create table if not exists warehouse.changed_ranges (
    range_id bigint generated always as identity primary key,
    store_id text collate "C" not null,
    from_date date not null,
    file_seq bigint not null,
    created_at timestamptz not null default now()
);

create schema if not exists ml;

-- Every training set that was made; the current one is the one made last.
create table if not exists ml.training_sets (
    sha256 text primary key,
    contract_hash text not null,
    rows bigint not null,
    trainable_rows bigint not null,
    series bigint not null,
    first_day date not null,
    last_day date not null,
    run_id text not null,
    made_at timestamptz not null default clock_timestamp()
);

-- How every comparison ended, leaderboard included.
create table if not exists ml.promotions (
    promotion_id bigint generated always as identity primary key,
    run_id text not null,
    outcome text not null check (outcome in ('promoted', 'kept', 'unchanged')),
    candidate text not null,
    version text,
    previous text,
    training_set_sha256 text not null,
    why text not null,
    leaderboard jsonb not null,
    decided_at timestamptz not null default clock_timestamp()
);

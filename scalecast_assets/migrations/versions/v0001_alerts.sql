-- What was wrong, and who was told.

create schema if not exists ml;

-- One row per alert: a cause, from when it was first seen to when it was gone. A cause that comes back
-- is a new row.
create table if not exists ml.alerts (
    alert_id bigint generated always as identity primary key,
    cause text not null,
    kind text not null,
    subject text not null,
    headline text not null,
    what text not null,
    to_do text not null,
    files text[] not null,
    run_id text,
    since timestamptz not null,
    raised_at timestamptz not null,
    cleared_at timestamptz
);
create unique index if not exists alerts_open_once on ml.alerts (cause) where cleared_at is null;
create index if not exists alerts_by_cause on ml.alerts (cause, cleared_at);

-- One row per message: an alert, or the word that it is cleared, to one channel. An attempt is noted
-- before it is made and its success after it, so a message whose sender was killed in between is sent
-- once more, under the same id.
create table if not exists ml.alert_deliveries (
    alert_id bigint not null references ml.alerts on delete cascade,
    channel text not null,
    event text not null check (event in ('raised', 'cleared')),
    attempts int not null default 0,
    tried_at timestamptz,
    delivered_at timestamptz,
    error text,
    primary key (alert_id, channel, event)
);
create index if not exists alert_deliveries_open on ml.alert_deliveries (channel)
where delivered_at is null;

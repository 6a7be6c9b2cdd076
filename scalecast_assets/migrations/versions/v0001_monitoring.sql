-- What dashboards read, and the retrain sensor.
-- No view looks at the tables of dbt: a full refresh drops them, and would drop such a view with them.

create schema if not exists ml;

create table if not exists ml.forecasts (
    origin date not null,
    model_version text collate "C" not null,
    store_id text collate "C" not null,
    product_id text collate "C" not null,
    date date not null,
    horizon smallint not null check (horizon >= 1),
    forecast float8 not null check (forecast >= 0 and forecast < 'Infinity'),
    seasonal_naive float8 not null check (seasonal_naive >= 0 and seasonal_naive < 'Infinity'),
    source text not null,
    store_open boolean not null,
    price float8 not null,
    promotion boolean not null,
    data_until date not null,
    -- in this order one store's day is found in one place when it is scored
    constraint forecasts_pkey primary key (origin, model_version, store_id, date, product_id),
    check (date = origin + horizon)
);

-- tables made before forecasts had intervals get the columns too
alter table ml.forecasts add column if not exists lower float8
constraint forecasts_lower_check check (lower >= 0 and lower <= forecast);
alter table ml.forecasts add column if not exists upper float8
constraint forecasts_upper_check check (upper >= forecast and upper < 'Infinity');

-- and tables made before there were challengers: all of their rows were served
alter table ml.forecasts add column if not exists served boolean not null default true;

comment on table ml.forecasts is
'Forecasts as they were promised: every active series on each of the coming days, from what was served
at the time, and from the challenger beside it. The served rows are those of forecasts/<origin>/ in the
bucket. One row per (origin, model_version, store_id, product_id, date).';
comment on column ml.forecasts.origin is
'The last day of sales that any store had delivered when the forecast was made.';
comment on column ml.forecasts.model_version is
'The model, as under models/ in the bucket.';
comment on column ml.forecasts.served is
'Whether the API answers for this series with this version, as it stood when the forecasts of the origin
were last written. Served rows are one per (origin, store_id, product_id, date).';
comment on column ml.forecasts.store_id is 'The store.';
comment on column ml.forecasts.product_id is 'The product.';
comment on column ml.forecasts.date is 'The day that is forecast.';
comment on column ml.forecasts.horizon is 'Days from the origin to the date, 1 or more.';
comment on column ml.forecasts.forecast is
'Units per day, 0 or more. Also given for a day that counts as closed; sum where store_open.';
comment on column ml.forecasts.seasonal_naive is
'Units per day by the yardstick: the same weekday of the last week known at the origin; of a series
too young for that, the mean that answers for it.';
comment on column ml.forecasts.source is
'What the forecast comes from: model, or the mean that answers for a young series: series_mean,
product_mean, store_mean, global_mean.';
comment on column ml.forecasts.store_open is
'Whether the day counts as open: the store was, on that weekday, in its last four weeks.';
comment on column ml.forecasts.price is
'The price assumed: the last known one, because no plan was given.';
comment on column ml.forecasts.promotion is
'The promotion assumed: none, because no plan was given.';
comment on column ml.forecasts.lower is
'Units per day: 80 % of the days are expected between lower and upper. Null if the model has no intervals.';
comment on column ml.forecasts.upper is 'See lower.';
comment on column ml.forecasts.data_until is
'The last final day of the store that the forecast knew; before the origin if it delivers late.';

create table if not exists ml.forecast_days (
    origin date not null,
    model_version text collate "C" not null,
    store_id text collate "C" not null,
    date date not null,
    horizon smallint not null,
    store_open boolean not null,
    forecast_rows int not null,
    forecast_units float8 not null,
    scored_rows int,
    actual_units float8,
    absolute_error float8,
    error float8,
    naive_absolute_error float8,
    naive_error float8,
    planned_rows int,
    planned_units float8,
    planned_absolute_error float8,
    planned_error float8,
    actuals bigint,
    constraint forecast_days_pkey primary key (origin, model_version, store_id, date)
);
create index if not exists forecast_days_by_date on ml.forecast_days (date);
alter table ml.forecast_days add column if not exists role text not null default 'champion'
constraint forecast_days_role_check check (role in ('champion', 'challenger'));

comment on table ml.forecast_days is
'A store''s day as one origin promised it and, once it was open and is final, how far off that was.
Sums add up: pool them over days, stores or origins, then divide, as ml.live_accuracy does. One row per (origin, model_version,
store_id, date).';
comment on column ml.forecast_days.origin is 'See ml.forecasts.';
comment on column ml.forecast_days.model_version is 'See ml.forecasts.';
comment on column ml.forecast_days.role is
'What the model was when it forecast: champion or challenger. Both are sums over all series, whichever
of them it answers for, so that they can be compared.';
comment on column ml.forecast_days.store_id is 'The store.';
comment on column ml.forecast_days.date is 'The day that was forecast.';
comment on column ml.forecast_days.horizon is 'Days from the origin to the date, 1 or more.';
comment on column ml.forecast_days.store_open is 'Whether the day counted as open at the origin.';
comment on column ml.forecast_days.forecast_rows is 'Rows of ml.forecasts, one per product.';
comment on column ml.forecast_days.forecast_units is 'Units forecast, of all of these rows.';
comment on column ml.forecast_days.scored_rows is
'Rows with an actual and 14 days of history. Null until the day is final, and if it was closed.';
comment on column ml.forecast_days.actual_units is 'Units sold, of the scored rows.';
comment on column ml.forecast_days.absolute_error is
'Sum of |forecast - actual| over the scored rows, in units.';
comment on column ml.forecast_days.error is
'Sum of forecast - actual over the scored rows, in units; positive: too much was forecast.';
comment on column ml.forecast_days.naive_absolute_error is 'absolute_error of seasonal_naive.';
comment on column ml.forecast_days.naive_error is 'error of seasonal_naive.';
comment on column ml.forecast_days.planned_rows is
'Scored rows whose promotion, and whose price within 5 %, came as the forecast assumed. The error of
the others is the missing plan''s, too; the holdout knew its plans, and is compared with these rows.';
comment on column ml.forecast_days.planned_units is 'Units sold, of the planned rows.';
comment on column ml.forecast_days.planned_absolute_error is 'absolute_error of the planned rows.';
comment on column ml.forecast_days.planned_error is 'error of the planned rows.';
comment on column ml.forecast_days.actuals is
'Fingerprint of the sales that were scored; when the sales are corrected the day is scored again.';

create or replace view ml.live_accuracy as
select
    model_version,
    store_id,
    date,
    count(*) as origins,
    sum(scored_rows) as scored_rows,
    sum(actual_units) as actual_units,
    sum(absolute_error) / nullif(sum(actual_units), 0) as wape,
    sum(error) / nullif(sum(scored_rows), 0) as bias,
    sum(naive_absolute_error) / nullif(sum(actual_units), 0) as naive_wape,
    sum(naive_error) / nullif(sum(scored_rows), 0) as naive_bias,
    sum(planned_absolute_error) / nullif(sum(planned_units), 0) as planned_wape
from ml.forecast_days
where scored_rows > 0
group by model_version, store_id, date;

comment on view ml.live_accuracy is
'Live accuracy by day and store, over every origin that promised the day; by horizon, or pooled
otherwise: ml.forecast_days. One row per (model_version, store_id, date) that was open and is final.';
comment on column ml.live_accuracy.model_version is 'The model whose forecasts these were.';
comment on column ml.live_accuracy.store_id is 'The store.';
comment on column ml.live_accuracy.date is 'The day that was forecast.';
comment on column ml.live_accuracy.origins is 'How many origins had promised the day.';
comment on column ml.live_accuracy.scored_rows is
'Forecasts scored: the day''s products, once per origin.';
comment on column ml.live_accuracy.actual_units is 'Units sold, counted once per origin.';
comment on column ml.live_accuracy.wape is
'Sum of |forecast - actual| over sum of actuals, a fraction. Null where nothing was sold.';
comment on column ml.live_accuracy.bias is
'Mean of forecast - actual, units per row and day; positive: too much was forecast.';
comment on column ml.live_accuracy.naive_wape is
'The same of the seasonal naive, on the same rows.';
comment on column ml.live_accuracy.naive_bias is
'The same of the seasonal naive, on the same rows.';
comment on column ml.live_accuracy.planned_wape is
'The same of the rows whose price and promotion came as assumed; null where none did.';

create or replace view ml.challenger_accuracy as
select
    champion.model_version as champion,
    challenger.model_version as challenger,
    date,
    count(distinct origin) as origins,
    sum(challenger.scored_rows) as scored_rows,
    sum(challenger.actual_units) as actual_units,
    sum(champion.absolute_error) as champion_absolute_error,
    sum(challenger.absolute_error) as challenger_absolute_error,
    sum(champion.error) as champion_error,
    sum(challenger.error) as challenger_error
from ml.forecast_days as challenger
inner join ml.forecast_days as champion using (origin, store_id, date)
where
    challenger.role = 'challenger'
    and champion.role = 'champion'
    and challenger.scored_rows > 0
    and champion.scored_rows = challenger.scored_rows
    and champion.actuals = challenger.actuals
group by champion.model_version, challenger.model_version, date;

comment on view ml.challenger_accuracy is
'Champion and challenger on the same forecasts: the same origins, days and series. Sums, so that days
can be pooled before they are divided. One row per (champion, challenger, date) that both had forecast.';
comment on column ml.challenger_accuracy.champion is 'The model that was served.';
comment on column ml.challenger_accuracy.challenger is 'The model beside it.';
comment on column ml.challenger_accuracy.date is 'The day that was forecast.';
comment on column ml.challenger_accuracy.origins is 'How many origins had promised the day.';
comment on column ml.challenger_accuracy.scored_rows is 'Forecasts scored, of each of the two.';
comment on column ml.challenger_accuracy.actual_units is
'Units sold, counted once per origin.';
comment on column ml.challenger_accuracy.champion_absolute_error is
'Sum of |forecast - actual|, in units; over actual_units it is the WAPE.';
comment on column ml.challenger_accuracy.challenger_absolute_error is
'The same of the challenger.';
comment on column ml.challenger_accuracy.champion_error is
'Sum of forecast - actual, in units; positive: too much was forecast.';
comment on column ml.challenger_accuracy.challenger_error is 'The same of the challenger.';

create table if not exists ml.drift (
    data_until date not null,
    model_version text collate "C" not null,
    feature text collate "C" not null,
    psi float8 not null,
    chance float8 not null,
    threshold float8 not null,
    mean float8 not null,
    reference_mean float8 not null,
    data_since date not null,
    rows int not null,
    reference_rows int not null,
    unmatched_rows int not null,
    training_set_sha256 text not null,
    constraint drift_pkey primary key (data_until, model_version, feature)
);

comment on table ml.drift is
'How far the newest days are from what the served model was trained on, feature by feature. One row
per (data_until, model_version, feature).';
comment on column ml.drift.data_until is 'The last of the new days.';
comment on column ml.drift.model_version is 'The served model.';
comment on column ml.drift.feature is 'The target, or one of the sixteen features.';
comment on column ml.drift.psi is
'Population stability index of the new days against the same weekdays and stores of the last days of
the training set. Up to 0.1 is commonly read as no change, above 0.2 as one that matters.';
comment on column ml.drift.chance is
'What the index exceeds once in a thousand times with so few rows although nothing has changed.';
comment on column ml.drift.threshold is
'The setting: above both threshold and chance, retraining was requested.';
comment on column ml.drift.mean is 'Mean over the new rows, in the feature''s unit.';
comment on column ml.drift.reference_mean is 'Mean over the training set''s rows, weighted alike.';
comment on column ml.drift.data_since is
'The first of the new days: the model had seen none of them.';
comment on column ml.drift.rows is 'New rows compared.';
comment on column ml.drift.reference_rows is 'Rows of the training set they are compared with.';
comment on column ml.drift.unmatched_rows is
'New rows left out, of a store on a weekday that the reference lacks.';
comment on column ml.drift.training_set_sha256 is 'The training set of the served model.';

create table if not exists ml.retrain_requests (
    request_id bigint generated always as identity primary key,
    cause text not null,
    model_version text collate "C" not null,
    reason text not null,
    evidence jsonb not null,
    run_id text not null,
    requested_at timestamptz not null default clock_timestamp(),
    taken_at timestamptz,
    taken_by text
);
alter table ml.retrain_requests
drop constraint if exists retrain_requests_once,
drop constraint if exists retrain_requests_cause_check,
add constraint retrain_requests_cause_check
check (cause in ('drift', 'live_error', 'schedule', 'person'));

-- Monitoring asks once about one model; whoever wants a new one anyway, once until it is made.
create unique index if not exists retrain_requests_of_monitoring
on ml.retrain_requests (cause, model_version) where cause in ('drift', 'live_error');
create unique index if not exists retrain_requests_of_others
on ml.retrain_requests (cause) where taken_at is null and cause in ('schedule', 'person');

comment on table ml.retrain_requests is
'Somebody asks for a new model. The sensor retrain_requests starts a run for what waits; the run takes
it when it has its training set.';
comment on column ml.retrain_requests.request_id is 'Number of the request, ascending.';
comment on column ml.retrain_requests.cause is
'drift: the data have moved; live_error: forecasts are further off than was promised; schedule, person:
it was time, somebody wished it.';
comment on column ml.retrain_requests.model_version is
'The model that was served then; empty where the request is not about one.';
comment on column ml.retrain_requests.reason is 'The cause in a sentence, with its figures.';
comment on column ml.retrain_requests.evidence is 'The figures, for programs.';
comment on column ml.retrain_requests.run_id is 'The Dagster run that asked; empty where none did.';
comment on column ml.retrain_requests.requested_at is 'When it asked.';
comment on column ml.retrain_requests.taken_at is
'When a retraining took it up, or a comparison had answered it; null: it waits.';
comment on column ml.retrain_requests.taken_by is 'That Dagster run.';

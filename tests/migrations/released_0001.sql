SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA landing;
CREATE SCHEMA ml;
CREATE SCHEMA warehouse;
SET default_tablespace = '';
CREATE TABLE landing.demand_rows (
    file_seq bigint NOT NULL,
    line_no bigint NOT NULL,
    date date,
    store_id text COLLATE pg_catalog."C",
    product_id text COLLATE pg_catalog."C",
    quantity_sold double precision,
    price double precision,
    promotion boolean
)
PARTITION BY LIST (file_seq);
SET default_table_access_method = heap;
CREATE TABLE landing.rejected_lines (
    file_seq bigint NOT NULL,
    line_no bigint NOT NULL,
    column_name text NOT NULL,
    value text NOT NULL,
    rule text NOT NULL,
    reason text NOT NULL
);
CREATE TABLE ml.alert_deliveries (
    alert_id bigint NOT NULL,
    channel text NOT NULL,
    event text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    tried_at timestamp with time zone,
    delivered_at timestamp with time zone,
    error text,
    CONSTRAINT alert_deliveries_event_check CHECK ((event = ANY (ARRAY['raised'::text, 'cleared'::text])))
);
CREATE TABLE ml.alerts (
    alert_id bigint NOT NULL,
    cause text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    headline text NOT NULL,
    what text NOT NULL,
    to_do text NOT NULL,
    files text[] NOT NULL,
    run_id text,
    since timestamp with time zone NOT NULL,
    raised_at timestamp with time zone NOT NULL,
    cleared_at timestamp with time zone
);
ALTER TABLE ml.alerts ALTER COLUMN alert_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ml.alerts_alert_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ml.forecast_days (
    origin date NOT NULL,
    model_version text NOT NULL COLLATE pg_catalog."C",
    store_id text NOT NULL COLLATE pg_catalog."C",
    date date NOT NULL,
    horizon smallint NOT NULL,
    store_open boolean NOT NULL,
    forecast_rows integer NOT NULL,
    forecast_units double precision NOT NULL,
    scored_rows integer,
    actual_units double precision,
    absolute_error double precision,
    error double precision,
    naive_absolute_error double precision,
    naive_error double precision,
    planned_rows integer,
    planned_units double precision,
    planned_absolute_error double precision,
    planned_error double precision,
    actuals bigint,
    role text DEFAULT 'champion'::text NOT NULL,
    CONSTRAINT forecast_days_role_check CHECK ((role = ANY (ARRAY['champion'::text, 'challenger'::text])))
);
COMMENT ON TABLE ml.forecast_days IS 'A store''s day as one origin promised it and, once it was open and is final, how far off that was.
Sums add up: pool them over days, stores or origins, then divide, as ml.live_accuracy does. One row per (origin, model_version,
store_id, date).';
COMMENT ON COLUMN ml.forecast_days.origin IS 'See ml.forecasts.';
COMMENT ON COLUMN ml.forecast_days.model_version IS 'See ml.forecasts.';
COMMENT ON COLUMN ml.forecast_days.store_id IS 'The store.';
COMMENT ON COLUMN ml.forecast_days.date IS 'The day that was forecast.';
COMMENT ON COLUMN ml.forecast_days.horizon IS 'Days from the origin to the date, 1 or more.';
COMMENT ON COLUMN ml.forecast_days.store_open IS 'Whether the day counted as open at the origin.';
COMMENT ON COLUMN ml.forecast_days.forecast_rows IS 'Rows of ml.forecasts, one per product.';
COMMENT ON COLUMN ml.forecast_days.forecast_units IS 'Units forecast, of all of these rows.';
COMMENT ON COLUMN ml.forecast_days.scored_rows IS 'Rows with an actual and 14 days of history. Null until the day is final, and if it was closed.';
COMMENT ON COLUMN ml.forecast_days.actual_units IS 'Units sold, of the scored rows.';
COMMENT ON COLUMN ml.forecast_days.absolute_error IS 'Sum of |forecast - actual| over the scored rows, in units.';
COMMENT ON COLUMN ml.forecast_days.error IS 'Sum of forecast - actual over the scored rows, in units; positive: too much was forecast.';
COMMENT ON COLUMN ml.forecast_days.naive_absolute_error IS 'absolute_error of seasonal_naive.';
COMMENT ON COLUMN ml.forecast_days.naive_error IS 'error of seasonal_naive.';
COMMENT ON COLUMN ml.forecast_days.planned_rows IS 'Scored rows whose promotion, and whose price within 5 %, came as the forecast assumed. The error of
the others is the missing plan''s, too; the holdout knew its plans, and is compared with these rows.';
COMMENT ON COLUMN ml.forecast_days.planned_units IS 'Units sold, of the planned rows.';
COMMENT ON COLUMN ml.forecast_days.planned_absolute_error IS 'absolute_error of the planned rows.';
COMMENT ON COLUMN ml.forecast_days.planned_error IS 'error of the planned rows.';
COMMENT ON COLUMN ml.forecast_days.actuals IS 'Fingerprint of the sales that were scored; when the sales are corrected the day is scored again.';
COMMENT ON COLUMN ml.forecast_days.role IS 'What the model was when it forecast: champion or challenger. Both are sums over all series, whichever
of them it answers for, so that they can be compared.';
CREATE VIEW ml.challenger_accuracy AS
 SELECT champion.model_version AS champion,
    challenger.model_version AS challenger,
    challenger.date,
    count(DISTINCT challenger.origin) AS origins,
    sum(challenger.scored_rows) AS scored_rows,
    sum(challenger.actual_units) AS actual_units,
    sum(champion.absolute_error) AS champion_absolute_error,
    sum(challenger.absolute_error) AS challenger_absolute_error,
    sum(champion.error) AS champion_error,
    sum(challenger.error) AS challenger_error
   FROM (ml.forecast_days challenger
     JOIN ml.forecast_days champion USING (origin, store_id, date))
  WHERE ((challenger.role = 'challenger'::text) AND (champion.role = 'champion'::text) AND (challenger.scored_rows > 0) AND (champion.scored_rows = challenger.scored_rows) AND (champion.actuals = challenger.actuals))
  GROUP BY champion.model_version, challenger.model_version, challenger.date;
COMMENT ON VIEW ml.challenger_accuracy IS 'Champion and challenger on the same forecasts: the same origins, days and series. Sums, so that days
can be pooled before they are divided. One row per (champion, challenger, date) that both had forecast.';
COMMENT ON COLUMN ml.challenger_accuracy.champion IS 'The model that was served.';
COMMENT ON COLUMN ml.challenger_accuracy.challenger IS 'The model beside it.';
COMMENT ON COLUMN ml.challenger_accuracy.date IS 'The day that was forecast.';
COMMENT ON COLUMN ml.challenger_accuracy.origins IS 'How many origins had promised the day.';
COMMENT ON COLUMN ml.challenger_accuracy.scored_rows IS 'Forecasts scored, of each of the two.';
COMMENT ON COLUMN ml.challenger_accuracy.actual_units IS 'Units sold, counted once per origin.';
COMMENT ON COLUMN ml.challenger_accuracy.champion_absolute_error IS 'Sum of |forecast - actual|, in units; over actual_units it is the WAPE.';
COMMENT ON COLUMN ml.challenger_accuracy.challenger_absolute_error IS 'The same of the challenger.';
COMMENT ON COLUMN ml.challenger_accuracy.champion_error IS 'Sum of forecast - actual, in units; positive: too much was forecast.';
COMMENT ON COLUMN ml.challenger_accuracy.challenger_error IS 'The same of the challenger.';
CREATE TABLE ml.drift (
    data_until date NOT NULL,
    model_version text NOT NULL COLLATE pg_catalog."C",
    feature text NOT NULL COLLATE pg_catalog."C",
    psi double precision NOT NULL,
    chance double precision NOT NULL,
    threshold double precision NOT NULL,
    mean double precision NOT NULL,
    reference_mean double precision NOT NULL,
    data_since date NOT NULL,
    rows integer NOT NULL,
    reference_rows integer NOT NULL,
    unmatched_rows integer NOT NULL,
    training_set_sha256 text NOT NULL
);
COMMENT ON TABLE ml.drift IS 'How far the newest days are from what the served model was trained on, feature by feature. One row
per (data_until, model_version, feature).';
COMMENT ON COLUMN ml.drift.data_until IS 'The last of the new days.';
COMMENT ON COLUMN ml.drift.model_version IS 'The served model.';
COMMENT ON COLUMN ml.drift.feature IS 'The target, or one of the sixteen features.';
COMMENT ON COLUMN ml.drift.psi IS 'Population stability index of the new days against the same weekdays and stores of the last days of
the training set. Up to 0.1 is commonly read as no change, above 0.2 as one that matters.';
COMMENT ON COLUMN ml.drift.chance IS 'What the index exceeds once in a thousand times with so few rows although nothing has changed.';
COMMENT ON COLUMN ml.drift.threshold IS 'The setting: above both threshold and chance, retraining was requested.';
COMMENT ON COLUMN ml.drift.mean IS 'Mean over the new rows, in the feature''s unit.';
COMMENT ON COLUMN ml.drift.reference_mean IS 'Mean over the training set''s rows, weighted alike.';
COMMENT ON COLUMN ml.drift.data_since IS 'The first of the new days: the model had seen none of them.';
COMMENT ON COLUMN ml.drift.rows IS 'New rows compared.';
COMMENT ON COLUMN ml.drift.reference_rows IS 'Rows of the training set they are compared with.';
COMMENT ON COLUMN ml.drift.unmatched_rows IS 'New rows left out, of a store on a weekday that the reference lacks.';
COMMENT ON COLUMN ml.drift.training_set_sha256 IS 'The training set of the served model.';
CREATE TABLE ml.forecasts (
    origin date NOT NULL,
    model_version text NOT NULL COLLATE pg_catalog."C",
    store_id text NOT NULL COLLATE pg_catalog."C",
    product_id text NOT NULL COLLATE pg_catalog."C",
    date date NOT NULL,
    horizon smallint NOT NULL,
    forecast double precision NOT NULL,
    seasonal_naive double precision NOT NULL,
    source text NOT NULL,
    store_open boolean NOT NULL,
    price double precision NOT NULL,
    promotion boolean NOT NULL,
    data_until date NOT NULL,
    lower double precision,
    upper double precision,
    served boolean DEFAULT true NOT NULL,
    CONSTRAINT forecasts_check CHECK ((date = (origin + (horizon)::integer))),
    CONSTRAINT forecasts_forecast_check CHECK (((forecast >= (0)::double precision) AND (forecast < 'Infinity'::double precision))),
    CONSTRAINT forecasts_horizon_check CHECK ((horizon >= 1)),
    CONSTRAINT forecasts_lower_check CHECK (((lower >= (0)::double precision) AND (lower <= forecast))),
    CONSTRAINT forecasts_seasonal_naive_check CHECK (((seasonal_naive >= (0)::double precision) AND (seasonal_naive < 'Infinity'::double precision))),
    CONSTRAINT forecasts_upper_check CHECK (((upper >= forecast) AND (upper < 'Infinity'::double precision)))
);
COMMENT ON TABLE ml.forecasts IS 'Forecasts as they were promised: every active series on each of the coming days, from what was served
at the time, and from the challenger beside it. The served rows are those of forecasts/<origin>/ in the
bucket. One row per (origin, model_version, store_id, product_id, date).';
COMMENT ON COLUMN ml.forecasts.origin IS 'The last day of sales that any store had delivered when the forecast was made.';
COMMENT ON COLUMN ml.forecasts.model_version IS 'The model, as under models/ in the bucket.';
COMMENT ON COLUMN ml.forecasts.store_id IS 'The store.';
COMMENT ON COLUMN ml.forecasts.product_id IS 'The product.';
COMMENT ON COLUMN ml.forecasts.date IS 'The day that is forecast.';
COMMENT ON COLUMN ml.forecasts.horizon IS 'Days from the origin to the date, 1 or more.';
COMMENT ON COLUMN ml.forecasts.forecast IS 'Units per day, 0 or more. Also given for a day that counts as closed; sum where store_open.';
COMMENT ON COLUMN ml.forecasts.seasonal_naive IS 'Units per day by the yardstick: the same weekday of the last week known at the origin; of a series
too young for that, the mean that answers for it.';
COMMENT ON COLUMN ml.forecasts.source IS 'What the forecast comes from: model, or the mean that answers for a young series: series_mean,
product_mean, store_mean, global_mean.';
COMMENT ON COLUMN ml.forecasts.store_open IS 'Whether the day counts as open: the store was, on that weekday, in its last four weeks.';
COMMENT ON COLUMN ml.forecasts.price IS 'The price assumed: the last known one, because no plan was given.';
COMMENT ON COLUMN ml.forecasts.promotion IS 'The promotion assumed: none, because no plan was given.';
COMMENT ON COLUMN ml.forecasts.data_until IS 'The last final day of the store that the forecast knew; before the origin if it delivers late.';
COMMENT ON COLUMN ml.forecasts.lower IS 'Units per day: 80 % of the days are expected between lower and upper. Null if the model has no intervals.';
COMMENT ON COLUMN ml.forecasts.upper IS 'See lower.';
COMMENT ON COLUMN ml.forecasts.served IS 'Whether the API answers for this series with this version, as it stood when the forecasts of the origin
were last written. Served rows are one per (origin, store_id, product_id, date).';
CREATE VIEW ml.live_accuracy AS
 SELECT model_version,
    store_id,
    date,
    count(*) AS origins,
    sum(scored_rows) AS scored_rows,
    sum(actual_units) AS actual_units,
    (sum(absolute_error) / NULLIF(sum(actual_units), (0)::double precision)) AS wape,
    (sum(error) / (NULLIF(sum(scored_rows), 0))::double precision) AS bias,
    (sum(naive_absolute_error) / NULLIF(sum(actual_units), (0)::double precision)) AS naive_wape,
    (sum(naive_error) / (NULLIF(sum(scored_rows), 0))::double precision) AS naive_bias,
    (sum(planned_absolute_error) / NULLIF(sum(planned_units), (0)::double precision)) AS planned_wape
   FROM ml.forecast_days
  WHERE (scored_rows > 0)
  GROUP BY model_version, store_id, date;
COMMENT ON VIEW ml.live_accuracy IS 'Live accuracy by day and store, over every origin that promised the day; by horizon, or pooled
otherwise: ml.forecast_days. One row per (model_version, store_id, date) that was open and is final.';
COMMENT ON COLUMN ml.live_accuracy.model_version IS 'The model whose forecasts these were.';
COMMENT ON COLUMN ml.live_accuracy.store_id IS 'The store.';
COMMENT ON COLUMN ml.live_accuracy.date IS 'The day that was forecast.';
COMMENT ON COLUMN ml.live_accuracy.origins IS 'How many origins had promised the day.';
COMMENT ON COLUMN ml.live_accuracy.scored_rows IS 'Forecasts scored: the day''s products, once per origin.';
COMMENT ON COLUMN ml.live_accuracy.actual_units IS 'Units sold, counted once per origin.';
COMMENT ON COLUMN ml.live_accuracy.wape IS 'Sum of |forecast - actual| over sum of actuals, a fraction. Null where nothing was sold.';
COMMENT ON COLUMN ml.live_accuracy.bias IS 'Mean of forecast - actual, units per row and day; positive: too much was forecast.';
COMMENT ON COLUMN ml.live_accuracy.naive_wape IS 'The same of the seasonal naive, on the same rows.';
COMMENT ON COLUMN ml.live_accuracy.naive_bias IS 'The same of the seasonal naive, on the same rows.';
COMMENT ON COLUMN ml.live_accuracy.planned_wape IS 'The same of the rows whose price and promotion came as assumed; null where none did.';
CREATE TABLE ml.promotions (
    promotion_id bigint NOT NULL,
    run_id text NOT NULL,
    outcome text NOT NULL,
    candidate text NOT NULL,
    version text,
    previous text,
    training_set_sha256 text NOT NULL,
    why text NOT NULL,
    leaderboard jsonb NOT NULL,
    decided_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT promotions_outcome_check CHECK ((outcome = ANY (ARRAY['promoted'::text, 'kept'::text, 'unchanged'::text])))
);
ALTER TABLE ml.promotions ALTER COLUMN promotion_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ml.promotions_promotion_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ml.retrain_requests (
    request_id bigint NOT NULL,
    cause text NOT NULL,
    model_version text NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    evidence jsonb NOT NULL,
    run_id text NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    taken_at timestamp with time zone,
    taken_by text,
    CONSTRAINT retrain_requests_cause_check CHECK ((cause = ANY (ARRAY['drift'::text, 'live_error'::text, 'schedule'::text, 'person'::text])))
);
COMMENT ON TABLE ml.retrain_requests IS 'Somebody asks for a new model. The sensor retrain_requests starts a run for what waits; the run takes
it when it has its training set.';
COMMENT ON COLUMN ml.retrain_requests.request_id IS 'Number of the request, ascending.';
COMMENT ON COLUMN ml.retrain_requests.cause IS 'drift: the data have moved; live_error: forecasts are further off than was promised; schedule, person:
it was time, somebody wished it.';
COMMENT ON COLUMN ml.retrain_requests.model_version IS 'The model that was served then; empty where the request is not about one.';
COMMENT ON COLUMN ml.retrain_requests.reason IS 'The cause in a sentence, with its figures.';
COMMENT ON COLUMN ml.retrain_requests.evidence IS 'The figures, for programs.';
COMMENT ON COLUMN ml.retrain_requests.run_id IS 'The Dagster run that asked; empty where none did.';
COMMENT ON COLUMN ml.retrain_requests.requested_at IS 'When it asked.';
COMMENT ON COLUMN ml.retrain_requests.taken_at IS 'When a retraining took it up, or a comparison had answered it; null: it waits.';
COMMENT ON COLUMN ml.retrain_requests.taken_by IS 'That Dagster run.';
ALTER TABLE ml.retrain_requests ALTER COLUMN request_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ml.retrain_requests_request_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE ml.training_sets (
    sha256 text NOT NULL,
    contract_hash text NOT NULL,
    rows bigint NOT NULL,
    trainable_rows bigint NOT NULL,
    series bigint NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    run_id text NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE warehouse.changed_ranges (
    range_id bigint NOT NULL,
    store_id text NOT NULL COLLATE pg_catalog."C",
    from_date date NOT NULL,
    file_seq bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE warehouse.changed_ranges ALTER COLUMN range_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME warehouse.changed_ranges_range_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE warehouse.demand_data (
    date date NOT NULL,
    store_id text NOT NULL COLLATE pg_catalog."C",
    product_id text NOT NULL COLLATE pg_catalog."C",
    quantity_sold double precision NOT NULL,
    price double precision NOT NULL,
    promotion boolean NOT NULL,
    file_seq bigint NOT NULL
);
CREATE TABLE warehouse.file_attempts (
    key text NOT NULL,
    version text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    first_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    tried_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    run_id text NOT NULL,
    error text
);
CREATE TABLE warehouse.file_ledger (
    file_seq bigint NOT NULL,
    sha256 text NOT NULL,
    key text NOT NULL,
    bytes bigint NOT NULL,
    rows bigint NOT NULL,
    rejected bigint NOT NULL,
    state text NOT NULL,
    reason text,
    run_id text NOT NULL,
    replace_run text,
    replace_size integer,
    landed_at timestamp with time zone DEFAULT now() NOT NULL,
    decided_at timestamp with time zone,
    published_at timestamp with time zone,
    withdrawn_at timestamp with time zone,
    CONSTRAINT file_ledger_states CHECK ((state = ANY (ARRAY['landed'::text, 'validated'::text, 'published'::text, 'refused'::text, 'withdrawn'::text])))
);
CREATE TABLE warehouse.file_objects (
    key text NOT NULL,
    version text NOT NULL,
    last_modified timestamp with time zone NOT NULL,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE warehouse.id_codes (
    kind text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    code integer NOT NULL,
    CONSTRAINT id_codes_code_check CHECK ((code >= 1)),
    CONSTRAINT id_codes_kind_check CHECK ((kind = ANY (ARRAY['store'::text, 'product'::text])))
);
CREATE TABLE warehouse.replacements (
    file_seq bigint NOT NULL,
    run_id text NOT NULL,
    published_at timestamp with time zone DEFAULT now() NOT NULL,
    contents text[] NOT NULL
);
CREATE TABLE warehouse.schema_version (
    version_num character varying(32) NOT NULL
);
INSERT INTO landing.rejected_lines VALUES (2, 3, 'price', '-1', 'price_is_positive', 'below 0');
INSERT INTO ml.alert_deliveries VALUES (1, 'slack', 'raised', 0, NULL, NULL, NULL);
INSERT INTO ml.alerts OVERRIDING SYSTEM VALUE VALUES (1, 'c', 'feed_stale', 's', 'h', 'w', 't', '{raw/a.csv}', NULL, '2024-01-02 00:00:00+00', '2024-01-02 00:00:00+00', NULL);
INSERT INTO ml.forecasts VALUES ('2024-01-01', '1.0.0', '0012', 'Ä%', '2024-01-02', 1, 3, 2, 'model', true, 1.25, false, '2024-01-01', 2, 4, true);
INSERT INTO ml.promotions OVERRIDING SYSTEM VALUE VALUES (1, 'run 1', 'promoted', 'xgboost', '1.0.0', NULL, 'abababababababababababababababababababababababababababababababab', 'best', '[{"mae": 1.5}]', '2026-11-27 16:38:10.460951+00');
INSERT INTO ml.retrain_requests OVERRIDING SYSTEM VALUE VALUES (1, 'drift', '1.0.0', 'prices', '{"price": 0.7}', 'run 1', '2026-11-27 16:38:10.461185+00', NULL, NULL);
INSERT INTO ml.training_sets VALUES ('abababababababababababababababababababababababababababababababab', 'contract', 1, 1, 1, '2024-01-01', '2024-01-01', 'run 1', '2024-01-02 00:00:00+00');
INSERT INTO warehouse.changed_ranges OVERRIDING SYSTEM VALUE VALUES (1, '0012', '2024-01-01', 1, '2024-01-02 00:00:00+00');
INSERT INTO warehouse.demand_data VALUES ('2024-01-01', '0012', 'Ä%', 3.5, 1.25, true, 1);
INSERT INTO warehouse.file_attempts VALUES ('raw/b.csv', 'v1', 1, '2024-01-02 00:00:00+00', '2024-01-02 00:00:00+00', 'run 1', NULL);
INSERT INTO warehouse.file_ledger VALUES (1, 'abababababababababababababababababababababababababababababababab', 'raw/a.csv', 80, 1, 0, 'published', NULL, 'run 1', NULL, NULL, '2024-01-02 00:00:00+00', NULL, '2024-01-02 00:00:00+00', NULL);
INSERT INTO warehouse.file_objects VALUES ('raw/a.csv', 'v1', '2024-01-02 00:00:00+00', 80, 'abababababababababababababababababababababababababababababababab', '2024-01-02 00:00:00+00');
INSERT INTO warehouse.id_codes VALUES ('store', '0012', 1);
INSERT INTO warehouse.id_codes VALUES ('product', 'Ä%', 1);
INSERT INTO warehouse.replacements VALUES (1, 'run 1', '2024-01-02 00:00:00+00', '{abababababababababababababababababababababababababababababababab}');
INSERT INTO warehouse.schema_version VALUES ('0001');
SELECT pg_catalog.setval('ml.alerts_alert_id_seq', 1, true);
SELECT pg_catalog.setval('ml.promotions_promotion_id_seq', 1, true);
SELECT pg_catalog.setval('ml.retrain_requests_request_id_seq', 1, true);
SELECT pg_catalog.setval('warehouse.changed_ranges_range_id_seq', 1, true);
ALTER TABLE ONLY ml.alert_deliveries
    ADD CONSTRAINT alert_deliveries_pkey PRIMARY KEY (alert_id, channel, event);
ALTER TABLE ONLY ml.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (alert_id);
ALTER TABLE ONLY ml.drift
    ADD CONSTRAINT drift_pkey PRIMARY KEY (data_until, model_version, feature);
ALTER TABLE ONLY ml.forecast_days
    ADD CONSTRAINT forecast_days_pkey PRIMARY KEY (origin, model_version, store_id, date);
ALTER TABLE ONLY ml.forecasts
    ADD CONSTRAINT forecasts_pkey PRIMARY KEY (origin, model_version, store_id, date, product_id);
ALTER TABLE ONLY ml.promotions
    ADD CONSTRAINT promotions_pkey PRIMARY KEY (promotion_id);
ALTER TABLE ONLY ml.retrain_requests
    ADD CONSTRAINT retrain_requests_pkey PRIMARY KEY (request_id);
ALTER TABLE ONLY ml.training_sets
    ADD CONSTRAINT training_sets_pkey PRIMARY KEY (sha256);
ALTER TABLE ONLY warehouse.changed_ranges
    ADD CONSTRAINT changed_ranges_pkey PRIMARY KEY (range_id);
ALTER TABLE ONLY warehouse.demand_data
    ADD CONSTRAINT demand_data_pkey PRIMARY KEY (store_id, product_id, date);
ALTER TABLE ONLY warehouse.file_attempts
    ADD CONSTRAINT file_attempts_pkey PRIMARY KEY (key, version);
ALTER TABLE ONLY warehouse.file_ledger
    ADD CONSTRAINT file_ledger_content UNIQUE (sha256, file_seq);
ALTER TABLE ONLY warehouse.file_ledger
    ADD CONSTRAINT file_ledger_place PRIMARY KEY (file_seq);
ALTER TABLE ONLY warehouse.file_objects
    ADD CONSTRAINT file_objects_pkey PRIMARY KEY (key, version);
ALTER TABLE ONLY warehouse.id_codes
    ADD CONSTRAINT id_codes_kind_code_key UNIQUE (kind, code);
ALTER TABLE ONLY warehouse.id_codes
    ADD CONSTRAINT id_codes_pkey PRIMARY KEY (kind, id);
ALTER TABLE ONLY warehouse.replacements
    ADD CONSTRAINT replacements_pkey PRIMARY KEY (file_seq);
ALTER TABLE ONLY warehouse.schema_version
    ADD CONSTRAINT schema_version_pkc PRIMARY KEY (version_num);
CREATE INDEX rejected_lines_by_file ON landing.rejected_lines USING btree (file_seq, rule);
CREATE INDEX alert_deliveries_open ON ml.alert_deliveries USING btree (channel) WHERE (delivered_at IS NULL);
CREATE INDEX alerts_by_cause ON ml.alerts USING btree (cause, cleared_at);
CREATE UNIQUE INDEX alerts_open_once ON ml.alerts USING btree (cause) WHERE (cleared_at IS NULL);
CREATE INDEX forecast_days_by_date ON ml.forecast_days USING btree (date);
CREATE UNIQUE INDEX retrain_requests_of_monitoring ON ml.retrain_requests USING btree (cause, model_version) WHERE (cause = ANY (ARRAY['drift'::text, 'live_error'::text]));
CREATE UNIQUE INDEX retrain_requests_of_others ON ml.retrain_requests USING btree (cause) WHERE ((taken_at IS NULL) AND (cause = ANY (ARRAY['schedule'::text, 'person'::text])));
ALTER TABLE ONLY ml.alert_deliveries
    ADD CONSTRAINT alert_deliveries_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES ml.alerts(alert_id) ON DELETE CASCADE;

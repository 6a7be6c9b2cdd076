#!/bin/sh
# `dbt build` as CI runs it, unit tests and data tests with the models, on the database that
# SCALECAST_DATABASE_URL names: the sample is loaded first, as `scalecast run` loads it.
set -eu
cd "$(dirname "$0")/.."
: "${SCALECAST_DATABASE_URL:?name a database}"
bin=$PWD/.venv/bin
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export SCALECAST_HOME="$folder/home"

"$bin/scalecast" sample-data "$folder/sample"
"$bin/scalecast" run --csv "$folder"/sample/*.csv
eval "$("$bin/scalecast" env)"
"$bin/dbt" build --full-refresh --project-dir dbt_project --profiles-dir dbt_project \
    --target-path "$folder/target" --log-path "$folder/logs"

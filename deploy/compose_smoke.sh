#!/bin/sh
# From `docker compose up` to a forecast, on a machine with an engine: a CI job, after the images are
# built. Where there is no engine, tests/deploy/test_compose_processes.py starts the same as processes.
set -eu
cd "$(dirname "$0")/.."

python3 - <<'PYTHON'
import runpy, sys
from pathlib import Path
# Without the installed command: this one module needs nothing but Python.
runpy.run_path("scalecast_assets/commands/init_env.py")["write_env"](Path(".env"))
PYTHON

begun=$(date +%s)
docker compose up --detach --no-build
waited=0
until curl -fsS http://127.0.0.1:8082/server_info >/dev/null 2>&1; do
    waited=$((waited + 1))
    [ "$waited" -lt 120 ] || { echo "no Dagster UI after 4 minutes"; exit 1; }
    sleep 2
done
docker compose exec -T code sh -c \
    'scalecast sample-data /tmp/sample && scalecast run --csv /tmp/sample/*.csv'

waited=0
until curl -fsS http://127.0.0.1:8080/ready >/dev/null 2>&1; do
    waited=$((waited + 1))
    [ "$waited" -lt 60 ] || { echo "no sidecar is ready after 2 minutes"; exit 1; }
    sleep 2
done
curl -fsS http://127.0.0.1:8080/predict -H 'Content-Type: application/json' \
    -d '{"date": "2024-03-15", "store_id": "STORE_001", "product_id": "PROD_A", "price": 29.99, "promotion": true}'
echo
# 401 without the password, 403 for another page; a backup out of a container that is read-only;
# every container that has a check is well.
[ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8081/server_info)" = 401 ]
[ "$(curl -s -o /dev/null -w '%{http_code}' -X POST -H 'Origin: https://elsewhere.example' http://127.0.0.1:8081/graphql)" = 403 ]
kept=$(mktemp -d)
# What is in it belongs to the container's account, which alone can take it away.
trap 'docker compose run --rm --no-deps -T -v "$kept:/backup" code rm -rf /backup/smoke || :; rm -rf "$kept"' EXIT
chmod 777 "$kept"
docker compose run --rm --no-deps -T -v "$kept:/backup" code scalecast backup /backup/smoke
docker compose run --rm --no-deps -T -v "$kept:/backup:ro" code scalecast restore /backup/smoke --check
unhealthy=$(docker ps --filter health=unhealthy --format '{{.Names}}')
[ -z "$unhealthy" ] || { echo "not well: $unhealthy"; exit 1; }
echo "a forecast after $(($(date +%s) - begun)) s"

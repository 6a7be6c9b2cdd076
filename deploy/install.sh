#!/bin/sh
# Create .venv and install what the locks say: install.sh [dev]. Called by the Makefile, from the
# project's folder. Does nothing when .venv already holds exactly that.
set -eu

wanted=${1:-run}
venv=.venv
stamp=$venv/.installed

fail() {
    printf 'scalecast install: %s\n' "$1" >&2
    exit 1
}

find_python() {
    # The one that is asked for may lie in a folder with a space in its name.
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.11 python3.12 python3; fi
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or 3.12 found (tried: $*). Install one \
(Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.11"
}

ensure_venv_module() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing the Debian package python3-venv ..."
        { apt-get update -qq && apt-get install -y -qq python3-venv; } >/dev/null || true
    fi
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$1 lacks the module venv. Install it (Debian: apt install python3-venv)."
}

# Print a line for every 25 packages; pip's own words go to the log.
progress() {
    count=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$2"
        case $line in
            Collecting\ * | Processing\ *)
                count=$((count + 1))
                [ $((count % 25)) != 0 ] || echo "  fetched $count of $1"
                ;;
            Installing\ collected*) echo "  unpacking ..." ;;
        esac
    done
}

pip_install() {
    log=$venv/install.log
    : >"$log"
    total=$(cat "$@" | grep -c ==)
    for lock in "$@"; do set -- "$@" -r "$lock"; shift; done
    # --no-deps: the lock is complete. --no-compile: Python compiles what is imported, when it is;
    # compiling all of it up front costs as much again as unpacking it.
    { "$venv/bin/python" -m pip install --no-deps --no-compile --progress-bar off \
        --disable-pip-version-check --root-user-action ignore "$@" 2>"$log.errors" ||
        touch "$log.failed"; } | progress "$total" "$log"
    if [ -e "$log.failed" ]; then
        cat "$log.errors" >&2
        fail "pip could not install the locked packages (above, and in $log)."
    fi
}

locks=requirements.lock
[ "$wanted" = dev ] && locks="$locks requirements-dev.lock"

# The folder is part of it: a virtual environment does not survive being moved.
fingerprint=$(printf '%s %s ' "$wanted" "$PWD"; cat $locks pyproject.toml "$0" | cksum)
if [ -x "$venv/bin/scalecast" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    found=$(cat "$stamp" 2>/dev/null || true)
    # What tests need includes what running needs.
    [ "$found" = "$fingerprint" ] && exit 0
    if [ "$wanted" = run ] && [ -n "$found" ] && [ "${found%% *}" = dev ]; then
        as_dev=$(printf 'dev %s ' "$PWD"; cat requirements.lock requirements-dev.lock \
            pyproject.toml "$0" | cksum)
        [ "$found" = "$as_dev" ] && exit 0
    fi
fi

python=$(find_python)
ensure_venv_module "$python"
if ! "$venv/bin/python" -c "import sys; sys.exit(sys.prefix != sys.argv[1])" \
    "$PWD/$venv" 2>/dev/null; then
    rm -rf "$venv"
fi
rm -f "$stamp" "$venv/install.log.failed"
echo "Installing ScaleCast's libraries into $venv (a minute or two) ..."
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
# shellcheck disable=SC2086
pip_install $locks
# The CPU build of torch needs nothing more. The public index has a CUDA build, which cannot do
# without the libraries it depends on; they are in no lock, because they differ by platform.
case $("$venv/bin/python" -c 'from importlib.metadata import version; print(version("torch"))') in
    *+cpu) ;;
    *)
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --root-user-action ignore -c requirements.lock torch
        ;;
esac
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
    --no-deps --no-build-isolation -e .
printf '%s' "$fingerprint" >"$stamp"
echo "Installed."

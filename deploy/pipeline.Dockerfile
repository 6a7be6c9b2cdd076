# The pipeline: Dagster's code server, webserver and daemon, and the scalecast command.
#   docker build -f deploy/pipeline.Dockerfile -t scalecast-pipeline .
# For Kubernetes, with its run launcher: --build-arg MORE_LOCKS=requirements-kubernetes.lock

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
WORKDIR /opt/scalecast
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/scalecast/.venv
COPY requirements.lock requirements-kubernetes.lock ./
# PyTorch's index of CPU builds: 190 MB where the public one has gigabytes of CUDA libraries. It is
# asked for torch alone: with two indexes at once, either could answer for any package.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN .venv/bin/pip install --no-deps --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' requirements.lock)"
ARG MORE_LOCKS=""
RUN for lock in requirements.lock $MORE_LOCKS; do .venv/bin/pip install --no-deps -r "$lock" || exit 1; done
COPY pyproject.toml README.md LICENSE workspace.yaml dagster.yaml ./
COPY scalecast_assets scalecast_assets
COPY serving serving
COPY dbt_project dbt_project
COPY deploy/aws/dagster.yaml deploy/aws/dagster.yaml
# In place: dbt's project and dagster.yaml are found beside the package.
RUN .venv/bin/pip install --no-deps --no-build-isolation -e . \
    && .venv/bin/dbt parse --project-dir dbt_project --profiles-dir dbt_project --target-path /opt/scalecast/manifest

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
RUN useradd --uid 10001 --create-home --home-dir /var/lib/scalecast scalecast
COPY --from=build /opt/scalecast /opt/scalecast
ENV PATH=/opt/scalecast/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SCALECAST_HOME=/var/lib/scalecast/home
USER 10001:10001
WORKDIR /var/lib/scalecast
# Owned by that user also where an orchestrator puts a volume there.
VOLUME ["/var/lib/scalecast", "/tmp"]
# No entry point: Dagster's own launchers and chart say `dagster …` here.
CMD ["scalecast", "--help"]

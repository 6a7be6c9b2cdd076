# The sidecar: onnxruntime, numpy and a web server; no Dagster and no training library.
#   docker build -f deploy/serving.Dockerfile -t scalecast-serving .

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
WORKDIR /opt/scalecast
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/scalecast/.venv
COPY requirements-serving.lock ./
RUN .venv/bin/pip install --no-deps -r requirements-serving.lock
COPY scalecast_assets/__init__.py scalecast_assets/keys.py scalecast_assets/
COPY scalecast_assets/contract scalecast_assets/contract
COPY serving serving

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
RUN useradd --uid 10001 --create-home --home-dir /var/lib/scalecast scalecast
COPY --from=build /opt/scalecast /opt/scalecast
ENV PATH=/opt/scalecast/.venv/bin:$PATH \
    PYTHONPATH=/opt/scalecast \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SCALECAST_HOME=/var/lib/scalecast/home \
    SCALECAST_API_HOST=0.0.0.0 \
    SCALECAST_API_PORT=8000
USER 10001:10001
WORKDIR /var/lib/scalecast
VOLUME ["/var/lib/scalecast", "/tmp"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --retries=6 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
CMD ["python", "-m", "serving"]

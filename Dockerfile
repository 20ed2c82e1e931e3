# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /build
COPY deploy/requirements.lock .
RUN python -m venv /opt/bridge \
    && /opt/bridge/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
# The bridge itself, so that its metadata tells its version; built with the setuptools of the test lock, as ./dev does.
COPY tests/requirements.lock tests.lock
RUN awk '/^setuptools==/ {on = 1} on {print} on && !/\\$/ {exit}' tests.lock > setuptools.lock \
    && pip install --no-cache-dir --disable-pip-version-check --require-hashes -r setuptools.lock
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN pip wheel --disable-pip-version-check --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/bridge/bin/pip install --disable-pip-version-check --no-index --no-deps wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home bridge
COPY --from=build /opt/bridge /opt/bridge
RUN install -d -o 10001 /data
WORKDIR /app
ENV PATH=/opt/bridge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 BRIDGE_HTTP__HOST=0.0.0.0
ENV BRIDGE_LEDGER__URL=sqlite:////data/bridge.db
USER 10001
# The ledger. Keep it across containers, or name a PostgreSQL in BRIDGE_LEDGER__URL.
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Liveness only: a container that waits for its broker must not be restarted for it. Route traffic by /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('BRIDGE_HTTP__PORT', '8080') + '/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "bridge"]
CMD ["run"]

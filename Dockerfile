# syntax=docker/dockerfile:1
# One image for every process of a fleet: the command says which. Pin the base for good with its digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:… .
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
# The dependencies first: they change less often than the sources. Only what the lock names, by its hash.
COPY requirements/runtime.txt requirements/runtime.txt
RUN python -m venv /opt/penstock && /opt/penstock/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY migrations migrations
COPY workers workers
COPY broker broker
RUN /opt/penstock/bin/pip install --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="penstock" org.opencontainers.image.licenses="Apache-2.0"
# The one folder that is written to: answers that the database does not take wait there. Mount a volume on it.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH \
    HOME=/var/lib/penstock \
    XDG_STATE_HOME=/var/lib/penstock \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# penstock.toml is mounted here, so that every command finds it.
WORKDIR /etc/penstock
USER 10001:10001
EXPOSE 9100
# Of a process that was started with --health …:9100; those without one switch it off.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9100/livez', timeout=3)"]
ENTRYPOINT ["penstock"]
CMD ["--help"]

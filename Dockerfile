# One image for every service of docker-compose.yml: the command says which.
#
#   docker build -t quiver .
#
# PyPI's torch for Linux brings CUDA. PIP_OPTIONS is handed to pip as it is: with the index that has torch's builds for
# the processor alone the image is several gigabytes smaller.

FROM python:3.11-slim AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY ingest ingest
COPY retrieval retrieval
COPY workers workers
COPY quiver quiver
COPY migrations migrations
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim AS installed
ARG PIP_OPTIONS=""
RUN python -m venv /opt/quiver
COPY constraints.txt /wheels/
# First what rarely changes, so that a change of our own code does not install it again.
COPY pyproject.toml /wheels/
RUN python -c "import tomllib; p = tomllib.load(open('/wheels/pyproject.toml', 'rb'))['project']; \
e = p['optional-dependencies']; print(*p['dependencies'], *e['postgres'], *e['otel'], sep='\n')" > /wheels/wanted.txt \
 && /opt/quiver/bin/pip install --no-cache-dir ${PIP_OPTIONS} -c /wheels/constraints.txt -r /wheels/wanted.txt
COPY --from=wheel /wheels/*.whl /wheels/
RUN /opt/quiver/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
 && /opt/quiver/bin/quiver version

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/quiver --shell /usr/sbin/nologin quiver \
 && install -d -o quiver -g quiver /data
COPY --from=installed /opt/quiver /opt/quiver
ENV PATH=/opt/quiver/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    QUIVER_DATA=/data \
    QUIVER_LOG_FORMAT=json
USER quiver
WORKDIR /var/lib/quiver
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["quiver"]
CMD ["serve"]
# Of the API. Compose has checks of its own for the others.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/livez', timeout=4)"]

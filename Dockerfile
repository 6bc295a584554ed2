# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
# cmake builds zlib-ng, with which Pingora compresses.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc make cmake libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --features otlp \
    && cp target/release/hookward /hookward \
    && scripts/sbom > /hookward.spdx

FROM debian:bookworm-slim
# Root certificates for https upstreams.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/hookward --create-home hookward
COPY --from=build /hookward /usr/local/bin/hookward
COPY --from=build /hookward.spdx /usr/share/doc/hookward/hookward.spdx
COPY LICENSE /usr/share/doc/hookward/LICENSE

# Mount the configuration at /etc/hookward. In a container it must listen on 0.0.0.0, and a published
# admin listener needs a token. A disk store belongs on a volume at /var/lib/hookward.
ENV HOOKWARD_CONFIG=/etc/hookward/hookward.toml
WORKDIR /var/lib/hookward
USER 10001
EXPOSE 8080 9090
# SIGTERM drains; docker must wait longer than drain_delay and drain_timeout (docker stop --time 30).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["hookward", "health"]
ENTRYPOINT ["hookward"]
CMD ["run"]

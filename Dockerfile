# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Shown by tidemark_build_info: docker build --build-arg TIDEMARK_REVISION=$(git rev-parse --short HEAD)
ARG TIDEMARK_REVISION=unknown
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    TIDEMARK_REVISION=$TIDEMARK_REVISION cargo build --release --locked --bin tidemark \
    && install -D target/release/tidemark /out/tidemark

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home tidemark
COPY --from=build /out/tidemark /usr/local/bin/tidemark
USER 10001
ENTRYPOINT ["tidemark"]
CMD ["--help"]

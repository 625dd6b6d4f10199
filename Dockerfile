# daypassd and daypass, with what they link dynamically and nothing else: the distribution's OpenSSL and SQLite, so that its
# security updates reach them with a new image. Tests/Packaging/check holds the packages below against what the programs need.
FROM swift:6.3-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libssl-dev libsqlite3-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN swift build -c release --static-swift-stdlib --product daypassd \
    && swift build -c release --static-swift-stdlib --product daypass \
    && mkdir /programs \
    && strip -o /programs/daypassd .build/release/daypassd && strip -o /programs/daypass .build/release/daypass

FROM debian:bookworm-slim
# The newest of the distribution, each time.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libsqlite3-0 libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /programs/ /usr/bin/
USER 10001:10001
ENTRYPOINT ["/usr/bin/daypassd"]
CMD ["serve", "--config", "/etc/daypass/config/daypass.yaml"]

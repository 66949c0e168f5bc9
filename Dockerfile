# The image of gce-metadata-server. It compiles nothing: scripts/release/image-files lays its files out in dist/image/VARIANT/ARCHITECTURE.
#
#   docker build -t gce-metadata-server .
#   docker build -t gce-metadata-server:tpm --build-arg VARIANT=tpm .
#
# scripts/release/image builds it for all architectures, reproducibly.
FROM scratch
# default or tpm.
ARG VARIANT=default
# amd64 or arm64; set by docker, buildah and kaniko.
ARG TARGETARCH
COPY dist/image/${VARIANT}/${TARGETARCH}/ /
LABEL org.opencontainers.image.title="gce-metadata-server" \
      org.opencontainers.image.description="An emulator of Google Compute Engine's metadata server" \
      org.opencontainers.image.licenses="Apache-2.0"
# A user without privileges and without files of its own. A number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
# A config mounted at /config.json is served without an option.
WORKDIR /
# Metadata and metrics.
EXPOSE 8080 9000
HEALTHCHECK --interval=5s --timeout=3s --retries=3 CMD ["/gce-metadata-server", "health"]
# Other containers reach no 127.0.0.1. Commands that don't listen ignore --interface.
ENTRYPOINT ["/gce-metadata-server", "--interface", "0.0.0.0"]

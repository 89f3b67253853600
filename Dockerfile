# syntax=docker/dockerfile:1
# Targets: hcbridge (the default, last) and orgsim, the simulated org to try it with.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
ARG COMMIT=
ENV CGO_ENABLED=0
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /out/ ./cmd/hcbridge ./cmd/orgsim

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
STOPSIGNAL SIGTERM
ARG VERSION=dev
ARG COMMIT=
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM base AS orgsim
LABEL org.opencontainers.image.title="orgsim" \
      org.opencontainers.image.description="A simulated Salesforce org to try hcbridge with"
COPY --from=build /out/orgsim /orgsim
EXPOSE 8801
ENTRYPOINT ["/orgsim"]
CMD ["-addr", "0.0.0.0:8801"]

FROM base AS hcbridge
LABEL org.opencontainers.image.title="hcbridge" \
      org.opencontainers.image.description="Keeps Salesforce objects and Postgres tables in step, in both directions"
COPY --from=build /out/hcbridge /hcbridge
# A container is reached from outside; set HC_HTTP_TOKEN for page and actions.
ENV HC_HTTP_ADDR=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/hcbridge", "healthcheck"]
ENTRYPOINT ["/hcbridge"]
CMD ["run"]

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
ENTRYPOINT []

FROM base AS orgsim
COPY --from=build /out/orgsim /orgsim
EXPOSE 8801
ENTRYPOINT ["/orgsim"]
CMD ["-addr", "0.0.0.0:8801"]

FROM base AS hcbridge
COPY --from=build /out/hcbridge /hcbridge
# A container is reached from outside; set HC_HTTP_TOKEN for page and actions.
ENV HC_HTTP_ADDR=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/hcbridge", "healthcheck"]
ENTRYPOINT ["/hcbridge"]
CMD ["run"]

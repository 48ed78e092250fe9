# Two stages: Go builds one static binary, and the image holds that, certificates
# and nothing that could be run besides. There is no shell in it: look around with
# `fly ssh console -C "/patina doctor"`, or `docker exec … /patina doctor`.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /image/patina ./cmd/patina \
    && mkdir -p /image/etc/ssl/certs /image/etc/patina /image/tmp \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && cp docs/grove.toml /image/etc/patina/ \
    && echo 'patina:x:65532:65532:Patina:/tmp:/patina' > /image/etc/passwd \
    && chmod 1777 /image/tmp

FROM scratch
COPY --from=build /image /
# Proofs, drills and restores load copies in /tmp.
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
# serve stops cleanly on SIGTERM: running exports get four minutes
# (PATINA_STOP_TIMEOUT), so that the platform must wait for five.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/patina"]
CMD ["serve"]

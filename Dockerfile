# Two stages: build with Go, run from a static image with certificates and
# nothing else. Patina needs no cgo.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=container
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /patina ./cmd/patina

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /patina /patina
EXPOSE 8080
# serve stops cleanly on SIGTERM: give it time (docs/operating.md).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/patina"]
CMD ["serve"]

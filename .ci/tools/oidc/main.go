// Command oidc is a whole OpenID Connect issuer for tests: zitadel's certified
// provider with the sign-in page and the storage of its example. It listens on
// loopback, prints its address, and ends when its standard input does.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	redirect := flag.String("redirect", "", "where people are sent back to")
	people := flag.String("people", "", "a JSON file of the people it knows")
	flag.Parse()
	users, err := storage.StoreFromFile(*people)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	issuer := "http://" + ln.Addr().String()
	storage.RegisterClients(storage.WebClient("patina", "client-secret", *redirect))
	handler := exampleop.SetupServer(issuer, storage.NewStorage(users), nil, false, op.WithAllowInsecure())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(issuer)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(ln))
}

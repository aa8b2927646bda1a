// Command hostile makes one request as the agent makes it, of a server that means no good: for a test that builds it with the Go
// of the routers' programs.
//
// usage: hostile ADDRESS HOST CAFILE PIN TIMEOUT
package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"wguplink/agent/httpc"
)

func main() {
	address, host, timeout := os.Args[1], os.Args[2], os.Args[5]
	trust := httpc.Trust{CAFile: os.Args[3]}
	if b, err := hex.DecodeString(os.Args[4]); err == nil && len(b) == 32 {
		trust.Pins = [][32]byte{[32]byte(b)}
	}
	limit, err := time.ParseDuration(timeout)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := httpc.Client{Trust: trust, MaxBody: 1000, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	r, err := c.Do(ctx, httpc.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: host, Path: "/"}})
	if err != nil {
		text := err.Error()
		fmt.Println("error:", text[:min(len(text), 400)])
		os.Exit(1)
	}
	fmt.Println("status:", r.Status)
}

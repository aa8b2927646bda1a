package gatewayvm

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"

	"wguplink/testbed/topology"
)

// filePort is where files are served.
const filePort = 8080

// serve offers one file to the node by plain HTTP, as long as the machine runs.
func (f *Server) serve(args []string) (string, error) {
	at := netip.AddrPortFrom(topology.ServicesV4.Addr(), filePort)
	ln, err := f.topo.Services.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return "", fmt.Errorf("serve %s: %w", args[0], err)
	}
	path := "/" + filepath.Base(args[0])
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, args[0]) })
	go http.Serve(ln, mux) // ends with the machine
	return "http://" + at.String() + path, nil
}

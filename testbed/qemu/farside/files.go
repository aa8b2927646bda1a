package farside

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"

	"wguplink/testbed/world"
)

// filePort is where files are served.
const filePort = 8080

// serve offers one file to the node by plain HTTP, as long as the machine runs.
func (f *Farside) serve(args []string) (string, error) {
	at := netip.AddrPortFrom(world.ServicesV4.Addr(), filePort)
	ln, err := f.w.Services.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return "", fmt.Errorf("serve %s: %w", args[0], err)
	}
	path := "/" + filepath.Base(args[0])
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, args[0]) })
	go http.Serve(ln, mux) // ends with the machine
	return "http://" + at.String() + path, nil
}

package wgkex

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Serve serves h on ln until ctx is done; then it cuts all connections and waits for the handlers. conf is nil for
// plain HTTP. onError, which may be nil, gets what the server has to complain about, such as TLS handshakes that a
// client broke off. It returns nil when ctx ended it.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, conf *tls.Config, onError func(string)) error {
	var conns sync.WaitGroup
	srv := &http.Server{
		Handler:  h,
		ErrorLog: log.New(lines(onError), "", 0),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew: // comes from the loop in srv.Serve, hence never after it
				conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				conns.Done()
			}
		},
	}
	if conf != nil {
		ln = tls.NewListener(ln, conf)
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		srv.Close()
		close(closed)
	})
	err := srv.Serve(ln)
	if stop() {
		srv.Close()
	} else {
		<-closed
	}
	conns.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("http server on %v: %w", ln.Addr(), err)
}

// lines hands each message of a log.Logger to a function.
type lines func(string)

func (f lines) Write(b []byte) (int, error) {
	if f != nil {
		f(strings.TrimRight(string(b), "\n"))
	}
	return len(b), nil
}

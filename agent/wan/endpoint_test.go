package wan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEndpoints(t *testing.T) {
	unknown := errors.New("unknown")
	resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "both":
			return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")}, nil
		case "192.0.2.7", "2001:db8::7":
			return []netip.Addr{netip.MustParseAddr(host)}, nil
		}
		return nil, unknown
	}
	for _, tt := range []struct {
		endpoints []string
		want      string
		err       string // part of it; "" for none
	}{
		{[]string{"both:1"}, "[[2001:db8::1]:1 192.0.2.1:1]", ""},
		{[]string{"192.0.2.7:2", "[2001:db8::7]:3"}, "[192.0.2.7:2 [2001:db8::7]:3]", ""},
		{[]string{"none:1", "both:65535"}, "[[2001:db8::1]:65535 192.0.2.1:65535]", ""},
		{[]string{"both:1", "none:1"}, "[[2001:db8::1]:1 192.0.2.1:1]", ""},
		{[]string{"none:1"}, "[]", "unknown"},
		{[]string{"both:65536"}, "[]", `endpoint "both:65536": not host:port`},
		{[]string{"both"}, "[]", `endpoint "both": not host:port`},
		{nil, "[]", ""},
	} {
		got, err := Endpoints(context.Background(), resolve, tt.endpoints)
		if diff := cmp.Diff(tt.want, fmt.Sprint(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.endpoints, diff)
		}
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: error %v, want %q", tt.endpoints, err, tt.err)
		}
	}
}

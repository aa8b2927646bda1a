//go:build go1.25

package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/ubus"
	"wguplink/agent/uplink"
)

// stuck is an agent of which no gateway answers.
type stuck struct{ fake }

func (stuck) Reconnect(ctx context.Context, _, _ string) (uplink.Outcome, error) {
	<-ctx.Done()
	return uplink.Outcome{}, context.Cause(ctx)
}

func (stuck) Reload(ctx context.Context) ([]string, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A call ends with a reason, and well before the ubus tool gives up.
func TestDeadline(t *testing.T) {
	for method, reason := range map[string]string{"reconnect": "no gateway has answered within 20s",
		"reload": "the agent was busy"} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			answer, err := call(t, &stuck{}, method, nil)
			said, _ := answer.String("error")
			if took := time.Since(began); took != callTime || took > 25*time.Second {
				t.Errorf("%s: ended after %v", method, took)
			}
			if !strings.Contains(said, reason) || method == "reconnect" && !errors.Is(err, ubus.StatusTimeout) {
				t.Errorf("%s: %q, %v", method, said, err)
			}
		})
	}
}

//go:build !nobroker

package config

import "testing"

func TestReleasedBrokers(t *testing.T) { loadReleased(t, "brokers") }

//go:build nobroker

package main

import (
	"context"

	"wguplink/agent/config"
	"wguplink/agent/registration"
)

var (
	newRegistrar  func(registration.Source) (registration.Registrar, error)
	listLocations func(context.Context, config.Uplink) ([]string, error)
)

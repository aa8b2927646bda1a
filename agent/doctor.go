package main

import (
	"io"

	"wguplink/agent/config"
)

func runDoctor(o options, u []config.Uplink, stdout, stderr io.Writer) int { return exitFailed }

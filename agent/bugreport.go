//go:build !nobroker

package main

func bugreport(c call) int { return 1 }

//go:build !nobroker

package main

const netcheckManual = `TODO`

func netcheck(c call) int { return 1 }

func bugreport(c call) int { return 1 }

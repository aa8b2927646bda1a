//go:build nobroker

package doctor

func isCertificate(error) bool { return false }

// Tlsdial makes a TLS handshake with the address given, as a program does that expects no panic of crypto/x509.
package main

import (
	"crypto/tls"
	"fmt"
	"os"
)

func main() {
	_, err := tls.Dial("tcp", os.Args[1], &tls.Config{})
	fmt.Println(err)
}

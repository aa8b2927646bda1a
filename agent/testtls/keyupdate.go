package testtls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeyUpdates serves a listener until it is closed: after each handshake it sends nothing but messages that ask for new
// keys (RFC 8446 section 4.6.3): 3000 of them in one record, or one in a record, for ever, without reading. The channel
// is closed at the end.
func KeyUpdates(t testing.TB, l net.Listener, cert tls.Certificate, oneRecord bool) (done chan struct{}) {
	t.Helper()
	done = make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := keyUpdates(conn, cert, oneRecord); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
	}()
	return done
}

// keyUpdates ends when the client has closed the connection; only what goes wrong before is an error.
func keyUpdates(conn net.Conn, cert tls.Certificate, oneRecord bool) error {
	var secrets bytes.Buffer
	c := tls.Server(conn, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		KeyLogWriter: &secrets,
	})
	if err := c.Handshake(); err != nil {
		return err
	}
	var secret []byte
	for _, line := range bytes.Split(secrets.Bytes(), []byte("\n")) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "SERVER_TRAFFIC_SECRET_0" {
			secret, _ = hex.DecodeString(string(f[2]))
		}
	}
	update := []byte{24, 0, 0, 1, 1} // key_update, 1 byte, update_requested
	if oneRecord {
		record, err := seal(secret, c.ConnectionState().CipherSuite, bytes.Repeat(update, 3000))
		if err != nil {
			return err
		}
		if _, err := conn.Write(record); err != nil {
			return nil
		}
		_, _ = io.Copy(io.Discard, conn)
		return nil
	}
	for {
		record, err := seal(secret, c.ConnectionState().CipherSuite, update)
		if err != nil {
			return err
		}
		if _, err := conn.Write(record); err != nil {
			return nil
		}
		secret = expand(secret, "traffic upd", sha256.Size)
	}
}

// seal makes the first record under a secret, with handshake messages in it (RFC 8446 section 5.2).
func seal(secret []byte, suite uint16, messages []byte) ([]byte, error) {
	var aead cipher.AEAD
	var err error
	if suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		aead, err = chacha20poly1305.New(expand(secret, "key", chacha20poly1305.KeySize))
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(expand(secret, "key", 16)); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		return nil, err
	}
	inner := append(bytes.Clone(messages), 22) // handshake
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+aead.Overhead()))
	return aead.Seal(head, expand(secret, "iv", aead.NonceSize()), inner, head), nil
}

// expand is HKDF-Expand-Label with an empty context, for up to 32 bytes (RFC 8446 section 7.1).
func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(label))}, label...)
	m := hmac.New(sha256.New, secret)
	m.Write(append(info, 0, 1))
	return m.Sum(nil)[:n]
}

// AddMessage serves a listener until it is closed, as an attacker on the line does between a client and its server: a
// handshake message without encryption (EncryptedExtensions, empty) is put behind the ServerHello, into the same record
// (RFC 8446 section 5.1).
func AddMessage(t testing.TB, l net.Listener, cert tls.Certificate) (done chan struct{}) {
	t.Helper()
	done = make(chan struct{})
	server, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert},
		MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			if n, err := io.Copy(io.Discard, c); n > 0 {
				t.Errorf("the server got %d bytes of a request (%v)", n, err)
			}
			c.Close()
		}
	}()
	go func() {
		defer close(done)
		defer func() { server.Close(); <-served }()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			if err := between(client, server.Addr().String()); err != nil {
				t.Error(err)
			}
			client.Close()
		}
	}()
	return done
}

func between(client net.Conn, address string) error {
	server, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	up := make(chan struct{})
	go func() { _, _ = io.Copy(server, client); server.Close(); close(up) }()
	defer func() { server.Close(); client.Close(); <-up }()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		return err
	}
	hello := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, hello); err != nil {
		return err
	}
	hello = append(hello, 8, 0, 0, 2, 0, 0)
	record := append(binary.BigEndian.AppendUint16(head[:3:3], uint16(len(hello))), hello...)
	if _, err := client.Write(record); err != nil {
		return err
	}
	_, _ = io.Copy(client, server)
	return nil
}

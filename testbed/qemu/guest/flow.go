package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// FlowPort is where a node takes TCP flows that are to be measured, once it was told to.
const FlowPort = 9

// A flow begins with its direction and its length in bytes, as eight bytes. Whoever receives it measures it, and a node that
// does so answers with the rate.
const (
	toNode   = 'd'
	fromNode = 'u'
)

// serveFlows takes flows until the machine ends.
func serveFlows() error {
	l, err := net.Listen("tcp6", fmt.Sprintf(":%d", FlowPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = serveFlow(c) // the other end sees that it broke off
			}()
		}
	}()
	return nil
}

func serveFlow(c net.Conn) error {
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint64(head[1:]))
	if head[0] == fromNode {
		return fill(c, n)
	}
	rate, err := measure(c, n)
	if err != nil {
		return err
	}
	return binary.Write(c, binary.BigEndian, rate)
}

// Flow sends so many bytes over a connection to a node's FlowPort, or has them sent from there, and gives the rate at which they
// arrived, in bit/s of payload. The first quarter does not count: buffers and bursts let that pass faster.
func Flow(c net.Conn, fromTheNode bool, bytes int64) (rate float64, err error) {
	direction := byte(toNode)
	if fromTheNode {
		direction = fromNode
	}
	if _, err := c.Write(binary.BigEndian.AppendUint64([]byte{direction}, uint64(bytes))); err != nil {
		return 0, err
	}
	if fromTheNode {
		return measure(c, bytes)
	}
	if err := fill(c, bytes); err != nil {
		return 0, err
	}
	err = binary.Read(c, binary.BigEndian, &rate)
	return rate, err
}

func fill(c io.Writer, bytes int64) error {
	buf := make([]byte, 16<<10)
	for bytes > 0 {
		n, err := c.Write(buf[:min(bytes, int64(len(buf)))])
		if err != nil {
			return err
		}
		bytes -= int64(n)
	}
	return nil
}

func measure(c io.Reader, bytes int64) (rate float64, err error) {
	if _, err := io.CopyN(io.Discard, c, bytes/4); err != nil {
		return 0, err
	}
	start := time.Now()
	n, err := io.CopyN(io.Discard, c, bytes-bytes/4)
	if err != nil {
		return 0, err
	}
	took := time.Since(start).Seconds()
	if took <= 0 {
		return 0, errors.New("the flow took no time")
	}
	return float64(n) * 8 / took, nil
}

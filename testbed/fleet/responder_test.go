package fleet

import (
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// speaker is a wireguard-go that is never brought up.
func speaker(b *testing.B) (*device.Device, device.NoisePublicKey) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		b.Fatal(err)
	}
	d := device.NewDevice(tuntest.NewChannelTUN().TUN(), conn.NewDefaultBind(),
		device.NewLogger(device.LogLevelSilent, ""))
	b.Cleanup(d.Close)
	if err := d.SetPrivateKey(device.NoisePrivateKey(key)); err != nil {
		b.Fatal(err)
	}
	return d, device.NoisePublicKey(key.PublicKey())
}

// BenchmarkResponder is what one handshake costs a gateway with wireguard-go, whose key it knows or does not:
// handshakeWork and strangerWork are taken from it.
func BenchmarkResponder(b *testing.B) {
	for name, known := range map[string]bool{"known": true, "stranger": false} {
		b.Run(name, func(b *testing.B) {
			node, nodeKey := speaker(b)
			gateway, gatewayKey := speaker(b)
			if err := gateway.Up(); err != nil {
				b.Fatal(err)
			}
			to, err := node.NewPeer(gatewayKey)
			if err != nil {
				b.Fatal(err)
			}
			var at *device.Peer
			for b.Loop() {
				b.StopTimer()
				// A fresh peer at the gateway takes any time stamp; else it takes each but once in 20 ms.
				if known {
					gateway.RemovePeer(nodeKey)
					if at, err = gateway.NewPeer(nodeKey); err != nil {
						b.Fatal(err)
					}
					at.Start()
				}
				m, err := node.CreateMessageInitiation(to)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if got := gateway.ConsumeMessageInitiation(m); (got != nil) != known {
					b.Fatalf("an initiation was taken: %v", got != nil)
				}
				if known {
					if _, err := gateway.CreateMessageResponse(at); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// Package measure makes the lab's failures: each scenario breaks something under the real agent in a topology of its
// own, and measures how long users are without a mesh. What is measured is the Ethernet reply: a frame that the node
// sent into its VXLAN device after the damage, answered by a gateway. With Parker it is the reply to a ping that went
// by the default routes.
package measure

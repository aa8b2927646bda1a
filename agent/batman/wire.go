package batman

// Names and numbers of the family "batadv" (linux/batman_adv.h). They are the same in every version since 5.1, in which
// the hard-interface became writable.
const (
	family = "batadv"

	cmdGetMesh        = 1
	cmdGetHardif      = 5
	cmdGetOriginators = 8
	cmdGetNeighbours  = 9
	cmdSetHardif      = 16

	attrAlgoName           = 2
	attrMeshIfindex        = 3
	attrHardIfindex        = 6
	attrOrigAddress        = 9
	attrFlagBest           = 22
	attrLastSeenMsecs      = 23
	attrNeighAddress       = 24
	attrTQ                 = 25
	attrThroughput         = 26
	attrHopPenalty         = 53
	attrThroughputOverride = 59
)

// unit is the step of a throughput override, in kbit/s; 0 steps let batman-adv estimate it (struct
// batadv_hard_iface_bat_v).
const unit = 100

// Package clock is the gate before the tunnel: is the time right, and if not, what is it?
//
// A router without a battery-backed clock boots in the past, one with an empty battery may boot in the future. A
// WireGuard gateway ignores a handshake whose time is not later than that of the last, so both keep a node offline. The
// gate asks the kernel whether its clock is synchronised, else NTP servers through the WAN. It checks the answers
// against the times that are possible, and against each other, and steps the clock. A missing answer is never fatal: a
// tunnel that may not come up is better than one that is not tried.
//
// # Rules
//
// The floor is the later of the build date and the kept time, which is the last time known to be right, in a file on
// flash. A kept time more than five years after the build is not the floor: most firmware is younger, and a time that
// was wrong once may have been kept. The build date may be wrong, too, because a build machine has a clock of its own.
// So the floor judges doubtful sources only. A time "can be" when it is neither before [Earliest] nor more than 30
// years after the build. It is plausible from the floor to 15 years after the build or the kept time.
//
//	     who tells the time                          the time is               the gate
//	 1   the kernel, synchronised                    plausible                 believes it
//	 2   the kernel, synchronised                    before the floor, can be  believes it
//	 3   the kernel, synchronised                    too late, but can be      believes it; the floor stays
//	 4   the kernel, synchronised                    cannot be                 asks on as if it were not synchronised
//	 5   servers that agree, more than contradict    plausible                 believes them
//	 6   servers that agree, more than contradict    before the floor, can be  believes them
//	 7   servers that contradict, none has a         on both sides of the      leaves out what is before the floor, then
//	     majority                                    floor                     judges the rest by 8 to 12
//	 8   servers that contradict, none has a         plausible                 believes none
//	     majority
//	 9   one server alone                            within a year after the   believes it
//	                                                 floor
//	10   one server alone                            plausible, but later      believes it once it is repeated
//	                                                 than that
//	11   one server alone                            before the floor, can be  believes it once it is repeated
//	12   any server                                  too late, or cannot be    does not believe it
//	13   a signed configuration                      plausible                 believes it
//	14   a signed configuration                      before the floor, can be  believes it once it is repeated
//	15   a signed configuration                      too late, or cannot be    does not believe it
//	16   no source believed within the grace time    plausible, by the clock   leaves the clock as it is, and goes on asking
//	17   no source believed within the grace time    not plausible, by the     sets the clock to the floor, and goes on asking
//	                                                 clock
//
// Repeated means: three times in a row, over five seconds at least, or by another source (another server, or a signed
// configuration) that says the same. In a row means that no other doubtful time came between.
//
// What is believed is kept by these rules; where nothing is kept yet, the build date counts as kept. Agreed are the
// kernel's word, a majority, and what was repeated.
//
//	     believed time                               the kept time
//	18   agreed, earlier than it by over a minute    becomes that time, at once: a wrong one heals
//	19   agreed, later than it by over a week        moves there, but by no more than a year
//	20   told by one source, later by over a week    moves there, but by no more than a month
//	21   told by one source, earlier                 stays
//	22   in the file is no time, or one more than 30 years after the build: counts as none, and is replaced
//
// A clock that cannot be set is an error of Ensure. Retry then asks less and less often, from once a minute to once an
// hour, and goes on without an error.
//
//	23   no right to set the clock                   rules 1 to 22, but the clock and the kept time stay
//	24   32 bit, and a time after 19 January 2038    the same; in the grace time a clock that is not plausible is set to the
//	                                                 floor all the same. A clock that shows such a time is read right.
package clock

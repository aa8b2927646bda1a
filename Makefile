# wguplink: see README.md
#
#   make          build the program for this machine: build/wguplink, and build/wguplink-userspace for the lab
#   make help     this text
#   make check    a quick look before a commit: format, vet, and unit tests of what changed
#   make test     install what is needed, then all tests: unit tests for each set of build tags, then the lab (as root)
#   make test-luci  install what is needed, a browser too, then test the pages in LuCI (as root): make test-luci [PICTURES=docs/luci]
#   make race     the agent's unit tests, and a failover in the lab, under Go's race detector (as root; about five minutes)
#   make demo     install what is needed, then show a node coming up in the lab (as root)
#   make lab      install what is needed, then break things in the lab and measure how long the mesh is gone (as root):
#                 make lab [ONLY=scenario] [RUNS=5] [AGAIN=2]; the table is in build/lab.json, too
#   make gateway  a gateway for trying, on this machine's own address, until Ctrl-C (as root): make gateway [ADDRESS=192.0.2.1]
#   make fleet    10,000 nodes that share a broker and four gateways, in virtual time: fails when a goal is missed, and writes what it
#                 saw into docs/fleet.md and docs/fleet; about 20 minutes: make fleet [NODES=10000] [ONLY=flush]
#   make fleet ONLY=costs  what a step of the engine costs with 100, 1,000 and 10,000 nodes, and as many gateways: a minute
#   make bench-userspace  userspace WireGuard beside the library's own program, by turns (as root; about five minutes):
#                 make bench-userspace [RUNS=5]
#   make figures  measure the start, the failover and the memory, ten times over, in the lab (as root)
#   make lint     gofmt, go vet, staticcheck, shellcheck
#   make cross    static binaries for routers: build/<variant>/wguplink-<arch>
#   make qemu     boot a node and its gateways in virtual machines, and take the node through a scenario, on each architecture:
#                 make qemu [ARCH=mips|mipsel|arm|arm64|amd64] [IMAGE=file] [IDLE=30s] [JOBS=1] [AGAIN=1]; see docs/testing.md
#   make qemu-cold  what a program in flash costs when the page cache is empty: start, status and failovers, on emulated MIPS; fails
#                 when a failover reads too much of it: make qemu-cold [ARCH=mips,mipsel,amd64] [RUNS=5] [AGAIN=1]
#   make qemu-hour  the agent's CPU time of an idle hour with the kernel's WireGuard, in instructions; fails when it is over
#                 0.5 s at one a nanosecond: make qemu-hour [IDLE=62s] [AGAIN=1]
#   make qemu-image  the same as make qemu against a small image of ours that boots as OpenWrt's do: tests the driver for IMAGE
#   make test-cross  the unit tests for mips, mipsel, arm and arm64: make test-cross [ARCH=mips,arm]
#   make size     what they take in flash, with all that their packages install, and with two versions of Go; the packages that
#                 take the most; fails when over budget
#   make release  a release in build/release, built twice and compared: make release VERSION=0.1.0 [KEY=secret key of signify's]
#   make feed-index  a signed feed of binary packages for opkg, and for apk where there is an apk 3, in build/feed:
#                 make feed-index [ROUTER="mips_24kc x86_64"] [KEY=secret key of signify's] [APK=program] [APK_KEY=PEM file]
#   make vulnerabilities  compare the programs of make cross with the list of known vulnerabilities
#   make packages install what is needed, then check the OpenWrt and Gluon packages (as root)
#   make clean    remove all of it

# Where scripts/setup has put Go, if the system's is too old.
export PATH := $(CURDIR)/build/go/bin:$(PATH)

# The binary under test has the same code as the router's, by the newer compiler of the tests.
export CGO_ENABLED := 0
BUILD = go build -trimpath -buildvcs=false -ldflags "-s -w $$(scripts/version)"

.PHONY: help check build race labtool gateway fleet qemutool test test-unit test-lab test-luci demo lab figures bench-userspace setup setup-lab setup-demo lint cross size packages release release-check feed-index vulnerabilities qemu qemu-cold qemu-hour qemu-image test-cross test-cross-user test-cross-vm clean

# -v names each package as it is compiled: the first time on a small machine is minutes.
build:
	@echo 'make: building the agent; the first time it is compiled with all of its libraries (about 200 packages)'
	$(BUILD) -v -tags netgo,osusergo -o build/wguplink ./agent
	$(BUILD) -v -tags userspace,netgo,osusergo -o build/wguplink-userspace ./agent

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

check:
	scripts/check

labtool: build
	@echo 'make: building the lab; the first time about 300 packages'
	cd testbed && go build -v -o ../build/lab ./cmd/lab && go build -o ../build/gateway ./cmd/gateway

test: setup-lab test-unit test-lab

# The module list (agent/modules.txt) is compared by a test in ./agent.
test-unit:
	@echo 'make: building and running the unit tests, with each set of build tags'
	scripts/test-unit

# The scenarios mostly wait, so that many can run at once.
test-lab: labtool
	@echo 'make: building the tests of the lab'
	cd testbed && go build -v ./... && go test -count=1 -parallel 8 -timeout 20m $$(go list ./... | grep -v '/testbed/luci$$')

# LuCI's pages in headless Chromium, against the agent and its ubus; the pictures are those of docs/.
PICTURES ?=
test-luci:
	scripts/setup lab luci
	cd testbed && go test -count=1 -timeout 20m ./luci $(if $(PICTURES),-args -pictures "$(abspath $(PICTURES))")

race:
	scripts/setup lab race
	$(MAKE) labtool
	scripts/race

demo: setup-demo
	$(MAKE) labtool
	build/lab demo

# How often to measure; empty: as often as is usual for each.
RUNS ?=
# How often to measure again in the lab what has missed a target of time; then the median counts.
AGAIN ?=
ONLY ?=

lab: setup-lab
	$(MAKE) labtool
	build/lab $(if $(RUNS),-runs $(RUNS)) $(if $(AGAIN),-again $(AGAIN)) $(if $(ONLY),-only "$(ONLY)") measure

figures: setup-demo
	$(MAKE) labtool
	build/lab $(if $(RUNS),-runs $(RUNS)) figures

# The library's own program comes out of the module in go.mod.
bench-userspace: setup
	$(MAKE) labtool
	go build -trimpath -o build/wireguard-go golang.zx2c4.com/wireguard
	cd testbed && go build -o ../build/bench ./cmd/bench
	build/bench $(if $(RUNS),-pairs $(RUNS))

# The architectures' machines, what their agent is watched for at rest, and how many of them at once.
ARCH ?=
IDLE ?=
JOBS ?=
IMAGE ?=

qemutool: setup
	scripts/setup-qemu
	cd testbed && go build -o ../build/qemu-lab ./cmd/qemu

qemu: qemutool
	build/qemu-lab $(if $(ARCH),-arch $(ARCH)) $(if $(IDLE),-idle $(IDLE)) $(if $(JOBS),-jobs $(JOBS)) $(if $(AGAIN),-again) $(if $(IMAGE),-image $(IMAGE))

# Each way of losing a gateway RUNS times. Times are printed beside their goal, and are no gate.
qemu-cold: qemutool
	build/qemu-lab -cold -arch $(or $(ARCH),mips) $(if $(RUNS),-failovers $(RUNS)) $(if $(AGAIN),-again)

# A little more than a minute has one check of the kernel's state in it.
qemu-hour: qemutool
	build/qemu-lab -hour -arch amd64 -variants default -idle $(or $(IDLE),62s) $(if $(AGAIN),-again)

# The driver for an image that we have not made, with one of ours that boots and behaves like OpenWrt's.
qemu-image: qemutool
	build/qemu-lab -stand-in build/stand-in.img
	gzip -f build/stand-in.img
	build/qemu-lab -image build/stand-in.img.gz $(if $(IDLE),-idle $(IDLE))

test-cross: test-cross-user test-cross-vm

# Under user mode emulation; builds the others, too.
test-cross-user: qemutool
	scripts/test-cross $(if $(ARCH),$$(build/qemu-lab -targets -arch $(ARCH)))

test-cross-vm: qemutool
	build/qemu-lab -tests $(if $(JOBS),-jobs $(JOBS)) -arch $(or $(ARCH),mips$(comma)mipsel$(comma)arm$(comma)arm64)

comma := ,

setup:
	scripts/setup

# The same, with what Parker's part of the lab needs.
setup-lab:
	scripts/setup lab

# Mosquitto, broker, worker, WireGuard, VXLAN, and batman-adv where the kernel has it.
ADDRESS ?=

gateway: setup-demo
	$(MAKE) labtool
	build/gateway $(if $(ADDRESS),-address $(ADDRESS))

setup-demo:
	scripts/setup demo

# Nothing but Go is needed, and no root. One scenario, or another number of nodes, does not touch docs/fleet.
NODES ?=

fleet: setup
	cd testbed && go build -o ../build/fleet ./cmd/fleet
	build/fleet $(if $(NODES),-nodes $(NODES)) $(if $(ONLY),-only "$(ONLY)") $(if $(NODES)$(ONLY),,-out docs/fleet -doc docs/fleet.md)

lint:
	scripts/lint

cross:
	scripts/cross

size: cross
	scripts/cross -n
	scripts/trees
	scripts/size

VERSION ?=
KEY ?=
release: setup
	scripts/release $(if $(KEY),-k "$(KEY)") "$(VERSION)"

# Signed with a throw-away key, one program only, from a clone.
release-check: setup
	scripts/release-check

ROUTER ?=
APK ?=
APK_KEY ?=
feed-index: setup
	scripts/feed-index $(if $(KEY),-k "$(KEY)") $(if $(APK),-a "$(APK)") $(if $(APK_KEY),-K "$(APK_KEY)") $(ROUTER)

vulnerabilities: cross
	scripts/vulnerabilities

packages: setup
	$(MAKE) cross
	scripts/packages

# build/go is only a pointer into Go's module cache, and tedious to get back.
clean:
	if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name go -exec rm -rf {} +; fi

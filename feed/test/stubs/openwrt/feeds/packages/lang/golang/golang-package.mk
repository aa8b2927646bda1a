# The part of golang-package.mk of OpenWrt's packages feed that our packages use. What matters is the same: which files
# are copied, that C and its linker are the default, and in which order flags stand.

GO_ARCH_DEPENDS:=@GO_ARCH
GO_ARCH:=$(patsubst x86_64,amd64,$(ARCH))

GO_PKG_BUILD_DIR?=$(PKG_BUILD_DIR)/.go_work/build
GO_PKG_BUILD_BIN_DIR?=$(GO_PKG_BUILD_DIR)/bin$(if $(filter-out amd64,$(GO_ARCH)),/linux_$(GO_ARCH))

define Build/Configure
	mkdir -p $(GO_PKG_BUILD_DIR)/src/$(GO_PKG)
	cd $(PKG_BUILD_DIR) && find . -path './.*' -prune -o \( -name '*.go' -o -path '*/testdata/*' -o -name go.mod -o -name go.sum \) -type f -print \
		| tar -cf - -T - | tar -C $(GO_PKG_BUILD_DIR)/src/$(GO_PKG) -xf -
endef

# $(1): arguments for go install. The module cache is the machine's own, and GOTOOLCHAIN stands for the Go of the
# release.
define GoPackage/Build/Compile
	cd $(GO_PKG_BUILD_DIR)/src/$(GO_PKG) && \
	GOOS=linux GOARCH=$(GO_ARCH) GOMIPS=softfloat CGO_ENABLED=1 CC=gcc GOMODCACHE="$$(go env GOMODCACHE)" \
	GOPATH=$(GO_PKG_BUILD_DIR) GOTOOLCHAIN=$(GO_RELEASE) GOFLAGS= \
	go install -buildvcs=false -trimpath -ldflags "all=-linkmode external -extldflags '-znow'" \
		$(if $(filter mips,$(GO_ARCH)),-installsuffix softfloat) \
		$(if $(GO_PKG_GCFLAGS),-gcflags "$(GO_PKG_GCFLAGS)") \
		$(if $(GO_PKG_TAGS),-tags "$(GO_PKG_TAGS)") \
		$(1) $(GO_PKG_BUILD_PKG)
endef

Build/Compile=$(call GoPackage/Build/Compile)

define GoBinPackage
endef

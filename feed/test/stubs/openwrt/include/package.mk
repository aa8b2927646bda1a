# The part of OpenWrt's package.mk that our packages use, reduced to what can be looked at: the target dump prints what
# the package index would hold, install-NAME installs one package below DESTDIR, prepare and compile do that.

PKG_BUILD_DIR?=$(BUILD_DIR)/$(PKG_NAME)-$(BUILD_VARIANT)/$(PKG_NAME)-$(PKG_VERSION)

.PHONY: dump prepare compile
dump:
	@:

# A variable that one package does not set must not come from the one before.
PER_PACKAGE:=SECTION CATEGORY SUBMENU TITLE MAINTAINER URL LICENSE LICENSE_FILES DEPENDS USERID VARIANT DEFAULT_VARIANT PROVIDES \
	CONFLICTS PKGARCH

# As in package-defaults.mk: what a package has that does not say it itself.
define Package/Default
  MAINTAINER:=$(PKG_MAINTAINER)
  URL:=$(PKG_URL)
  LICENSE:=$(PKG_LICENSE)
  LICENSE_FILES:=$(PKG_LICENSE_FILES)
endef

define Dump
$(info package $(1))
$(foreach v,$(PER_PACKAGE),$(if $(strip $($(v))),$(info   $(v): $(strip $($(v))))))
$(info   conffiles: $(strip $(Package/$(1)/conffiles)))
endef

define BuildPackage
  $(foreach v,$(PER_PACKAGE),$(eval $(v):=))
  $(eval $(Package/Default))
  $(eval $(Package/$(1)))
  $(if $(filter dump,$(MAKECMDGOALS)),$(call Dump,$(1)))
  .PHONY: install-$(1)
  install-$(1):
	$$(call Package/$(1)/install,$$(DESTDIR))
endef

ifneq ($(filter dump,$(MAKECMDGOALS)),)
$(foreach v,PKG_NAME PKG_VERSION PKG_RELEASE PKG_SOURCE PKG_SOURCE_URL PKG_HASH PKG_LICENSE PKG_LICENSE_FILES PKG_MAINTAINER PKG_URL \
	PKG_BUILD_DEPENDS PKG_BUILD_FLAGS GO_PKG GO_PKG_BUILD_PKG GO_PKG_TAGS GO_PKG_GCFLAGS,$(info $(v): $(strip $($(v)))))
endif

# Package.mk unpacks the source where there is one.
define Build/Prepare
	mkdir -p $(PKG_BUILD_DIR)
	tar -C $(PKG_BUILD_DIR) --strip-components=1 -xzf $(DL_DIR)/$(PKG_SOURCE)
endef

prepare:
	$(Build/Prepare)
	$(Build/Configure)

compile:
	$(Build/Compile)

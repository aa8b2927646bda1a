# The part of OpenWrt's rules.mk that our packages use. How files are installed is OpenWrt's way, modes included.

INCLUDE_DIR:=$(TOPDIR)/include
BUILD_DIR?=$(error BUILD_DIR is not set)

ARCH?=x86_64
SOURCE_DATE_EPOCH?=1700000000

qstrip=$(strip $(subst ",,$(1)))

CP:=cp -fpR
LN:=ln -sf
INSTALL_BIN:=install -m0755
INSTALL_DIR:=install -d -m0755
INSTALL_DATA:=install -m0644
INSTALL_CONF:=install -m0600

# SPDX-License-Identifier: GPL-2.0-or-later
# Makefile: the commands of the README. cmake builds; the scripts named here do the rest.

STORE  ?= ./holostore
MNT    ?= ./mnt
PREFIX ?= /usr/local
BUILD  ?= build

SBINDIR = $(DESTDIR)$(PREFIX)/sbin
BINDIR  = $(DESTDIR)$(PREFIX)/bin
LIBDIR  = $(DESTDIR)$(PREFIX)/lib/holofs
MANDIR  = $(DESTDIR)$(PREFIX)/share/man/man8
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
DOCDIR  = $(DESTDIR)$(PREFIX)/share/doc/holofs
SODIR   = $(DESTDIR)$(PREFIX)/lib
INCDIR  = $(DESTDIR)$(PREFIX)/include
MAN3DIR = $(DESTDIR)$(PREFIX)/share/man/man3
# mount(8) and umount(8) look for their helpers in /sbin, whatever the prefix.
HELPDIR = $(DESTDIR)/sbin

.NOTPARALLEL:
.PHONY: build mount unmount check soak bench bench-quick bench-peers bench-ecc deps install install-library install-units uninstall uninstall-library clean

build: ## build the programs into build/bin
	sh tools/build.sh $(BUILD)

deps: ## install what building and mounting need
	sh tools/deps.sh build

mount: deps build ## format STORE if it is new and mount it at MNT
	sh tools/mount-store.sh $(BUILD)/bin "$(STORE)" "$(MNT)"

unmount: ## unmount MNT and wait until its store is clean
	sh tools/umount.fuse.holofs "$(MNT)"

check: ## every test: unit tests, sanitizers, clang, and the mounted filesystem
	sh tools/deps.sh build test
	bash tests/check.sh

soak: build ## damaged groups by the 100,000, then fuzzing, operations and crashes for SOAK_MINUTES each (60)
	sh tools/deps.sh build test
	sh tools/deps.sh soak || echo 'soak: without stress-ng and dbench'
	BUILD=$(BUILD) bash tests/soak.sh

BENCH = python3 bench/bench.py run --bin $(BUILD)/bin --tools $(BUILD)/bench --peers-dir $(BUILD)/peers $(if $(RUNS),--runs $(RUNS)) $(BENCH_ARGS)

bench: deps build bench-peers ## beside passthrough_ll, gocryptfs, securefs, bindfs, btrfs, ext4: hours; PART=seq,rand,… one part; RUNS=
	$(BENCH) $(if $(PART),--part $(PART))

bench-quick: deps build bench-peers ## the same in minutes, and beside what bench/last.json keeps; KEEP=1 keeps the new one there
	$(BENCH) --preset quick --peers holofs,passthrough_ll --compare bench/last.json $(if $(KEEP),--keep bench/last.json)

bench-peers:
	sh tools/deps.sh test
	sh tools/deps.sh bench peers || echo 'bench: without what could not be installed'
	bash bench/peers.sh $(BUILD)/peers

bench-ecc: deps build ## parity beside ISA-L (Debian's, if it can be installed) and beside what the memory gives
	sh tools/deps.sh bench || echo 'bench-ecc: without ISA-L'
	$(BUILD)/bench/ecc_speed $(BENCH_ARGS)

install: build install-library install-units ## programs, helpers, library, manual pages
	install -d "$(SBINDIR)" "$(BINDIR)" "$(MANDIR)" "$(HELPDIR)"
	install -m 755 $(BUILD)/bin/mkfs.holofs $(BUILD)/bin/holofsck "$(SBINDIR)"
	install -m 755 $(BUILD)/bin/holofs $(BUILD)/bin/holo "$(BINDIR)"
	for so in $(BUILD)/bin/*.so; do [ ! -e "$$so" ] || install -D -m 644 -t "$(LIBDIR)" "$$so" || exit 1; done
	install -m 755 tools/mount.fuse.holofs tools/umount.fuse.holofs "$(HELPDIR)"
	install -m 644 docs/man/*.8 "$(MANDIR)"

# The timer of holo scrub, and a line for cron.
install-units:
	install -d "$(UNITDIR)" "$(DOCDIR)"
	install -m 644 tools/systemd/holo-scrub@.timer "$(UNITDIR)"
	sed 's,@BINDIR@,$(PREFIX)/bin,' tools/systemd/holo-scrub@.service >"$(UNITDIR)/holo-scrub@.service"
	install -m 644 tools/holofs.cron "$(DOCDIR)"

# libwaveecc alone, from what was built.
install-library:
	install -d "$(SODIR)/pkgconfig" "$(INCDIR)" "$(MAN3DIR)"
	install -m 755 $(BUILD)/lib/libwaveecc.so.1 "$(SODIR)"
	ln -sf libwaveecc.so.1 "$(SODIR)/libwaveecc.so"
	install -m 644 $(BUILD)/lib/libwaveecc.a "$(SODIR)"
	install -m 644 ecc/wave_ecc.h "$(INCDIR)"
	sed 's|@PREFIX@|$(PREFIX)|' ecc/waveecc.pc.in >"$(SODIR)/pkgconfig/waveecc.pc"
	install -m 644 docs/man/wave_ecc.3 "$(MAN3DIR)"
	[ -n "$(DESTDIR)" ] || ldconfig || true

uninstall-library:
	rm -f "$(SODIR)/libwaveecc.so" "$(SODIR)/libwaveecc.so.1" "$(SODIR)/libwaveecc.a" "$(SODIR)/pkgconfig/waveecc.pc"
	rm -f "$(INCDIR)/wave_ecc.h" "$(MAN3DIR)/wave_ecc.3"

uninstall: uninstall-library
	rm -f "$(SBINDIR)/mkfs.holofs" "$(SBINDIR)/holofsck" "$(BINDIR)/holofs" "$(BINDIR)/holo"
	rm -f "$(HELPDIR)/mount.fuse.holofs" "$(HELPDIR)/umount.fuse.holofs"
	for page in docs/man/*.8; do rm -f "$(MANDIR)/$${page##*/}"; done
	rm -f "$(UNITDIR)/holo-scrub@.timer" "$(UNITDIR)/holo-scrub@.service" "$(DOCDIR)/holofs.cron"
	rm -rf "$(LIBDIR)"

clean: ## remove what was built; never a store
	rm -rf build build-asan build-tsan build-clang build-fuzz

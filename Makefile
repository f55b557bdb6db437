# flux2 - build, test and install. `make help` lists what there is.
#
# Nothing is built into the source folders: everything lands in build/.
#   build/<lua>/flux2/core.so             the module for one Lua ABI (5.1 serves LuaJIT too)
#   build/<lua>/flux2/emulator/core.so    the emulator, a module of its own: with libmicrohttpd and cairo
#   build/<lua>/flux2/tester/core.so      the tester's server, another one: with libmicrohttpd
#   build/<lua>/flux2/gateway/core.so     the server of the gateway: with libmicrohttpd
#   build/<flavour>/<lua>/...             the same, instrumented (FLAVOUR=asan or tsan), or with what every POSIX system
#                                         has (FLAVOUR=generic)
#   build/windows/<lua>/flux2/core.dll    the module for Windows (TARGET=windows)
#   build/arm64/<lua>/...                 all of them for Linux on arm64 (TARGET=arm64)

.DEFAULT_GOAL := all

TARGET ?= posix
# Linux on arm64, built elsewhere: with what tools/arm64-deps has unpacked.
ifeq ($(TARGET),arm64)
ROOT := $(CURDIR)/build/arm64/root
CC := aarch64-linux-gnu-gcc --sysroot=$(ROOT)
PKG_CONFIG := PKG_CONFIG_SYSROOT_DIR=$(ROOT) \
    PKG_CONFIG_LIBDIR=$(ROOT)/usr/lib/aarch64-linux-gnu/pkgconfig:$(ROOT)/usr/share/pkgconfig pkg-config
endif

PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
VERSION := $(shell tools/version)

FLAVOUR ?=
BUILD := build$(if $(FLAVOUR),/$(FLAVOUR))$(if $(filter arm64,$(TARGET)),/arm64)

# --- which Luas are here -----------------------------------------------------------------------
# One name of pkg-config per ABI: the first that exists. LuaJIT has the ABI of 5.1.
first_pkg = $(firstword $(foreach p,$(1),$(if $(shell $(PKG_CONFIG) --exists $(p) 2>/dev/null && echo y),$(p))))
PKG_5.1 := $(call first_pkg,lua5.1 lua-5.1 lua51 luajit)
PKG_5.2 := $(call first_pkg,lua5.2 lua-5.2 lua52)
PKG_5.3 := $(call first_pkg,lua5.3 lua-5.3 lua53)
PKG_5.4 := $(call first_pkg,lua5.4 lua-5.4 lua54)
ABIS ?= $(strip $(foreach v,5.1 5.2 5.3 5.4,$(if $(PKG_$(v)),$(v))))
lua_cflags = $(shell $(PKG_CONFIG) --cflags $(PKG_$(1)))

# LuaRocks, and whoever else builds for one Lua, says where its headers are: `make LUA_INCDIR=...`
ifdef LUA_INCDIR
ABIS := 5.$(shell sed -n 's/^#define[ \t]*LUA_VERSION_NUM[ \t]*50//p' '$(LUA_INCDIR)/lua.h')
lua_cflags = -I'$(LUA_INCDIR)'
endif

# --- flags -------------------------------------------------------------------------------------
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wwrite-strings
CORE_PKGS := libcurl zlib
CURL_MIN := 7.85
SERVER_PKGS := libmicrohttpd jansson
EMU_PKGS := $(SERVER_PKGS) cairo zlib
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
SAN_tsan := -fsanitize=thread -O1
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
ALL_CFLAGS = -std=gnu11 -Icsrc -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(CFLAGS) $(SAN_$(FLAVOUR)) $(EXTRA_CFLAGS)
SAN_generic := -DFLUX2_GENERIC_POSIX
ALL_LDFLAGS = -shared -pthread $(LINKER_FLAGS) $(SAN_$(FLAVOUR)) $(LDFLAGS)
LINKER_FLAGS := $(if $(filter Darwin,$(shell uname -s)),-undefined dynamic_lookup,-Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now)
CORE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(CORE_PKGS) 2>/dev/null)
CORE_LIBS := $(or $(shell $(PKG_CONFIG) --libs $(CORE_PKGS) 2>/dev/null),-lcurl -lz)
SERVER_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(SERVER_PKGS) 2>/dev/null)
SERVER_LIBS := $(shell $(PKG_CONFIG) --libs $(SERVER_PKGS) 2>/dev/null)
HAVE_SERVER := $(shell $(PKG_CONFIG) --exists $(SERVER_PKGS) 2>/dev/null && echo y)
EXTENSION := so
EMU_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(EMU_PKGS) 2>/dev/null)
EMU_LIBS := $(shell $(PKG_CONFIG) --libs $(EMU_PKGS) 2>/dev/null)
HAVE_EMU := $(shell $(PKG_CONFIG) --exists $(EMU_PKGS) 2>/dev/null && echo y)

# Windows. Built elsewhere, it is linked with what tools/windows-deps has made. LuaRocks builds it in a shell of MSYS2, with
# the libcurl of pkg-config and the Lua in LUA_LIBDIR.
ifeq ($(TARGET),windows)
EXTENSION := dll
HAVE_SERVER :=
HAVE_EMU :=
WINDOWS_LIBS := -lws2_32 -lcrypt32 -lsecur32 -lbcrypt -ladvapi32 -liphlpapi
ALL_CFLAGS = -std=gnu11 -Icsrc -D__USE_MINGW_ANSI_STDIO=1 $(WARNINGS) $(CFLAGS) $(EXTRA_CFLAGS)
# core.def names the one export.
ALL_LDFLAGS = -shared -s -Wl,--no-insert-timestamp csrc/lua/core.def $(LDFLAGS)
ifdef LUA_INCDIR
CORE_LIBS += $(WINDOWS_LIBS) -static-libgcc
lua_library = $(firstword $(wildcard $(foreach name,lua$(1) lua$(subst .,,$(1)),\
    $(LUA_LIBDIR)/$(name).dll $(LUA_LIBDIR)/lib$(name).dll.a $(LUA_LIBDIR)/$(name).lib)))
else
CC := x86_64-w64-mingw32-gcc
BUILD := build/windows
ABIS := 5.1 5.4
lua_cflags = -I$(BUILD)/$(1)/include
CORE_CFLAGS := -I$(BUILD)/include -DCURL_STATICLIB
CORE_LIBS := $(patsubst %,$(BUILD)/lib/lib%.a,curl nghttp2 z) $(WINDOWS_LIBS) -static
lua_library = $(BUILD)/$(1)/lua$(subst .,,$(1)).dll
endif
else
lua_library = -ldl
endif

# What knows no Lua is compiled once; a binding, which lies in csrc/lua or is a module.c, for each ABI.
sources = $(filter-out %_$(if $(filter windows,$(TARGET)),posix,windows),\
    $(patsubst csrc/%.c,%,$(foreach f,$(1),$(wildcard csrc/$(f)/*.c))))
ENGINE := $(call sources,platform base http engine)
ENGINE_OBJ := $(ENGINE:%=$(BUILD)/obj/csrc/%.o)
BINDING := $(call sources,lua)
# What emulator and tester have beside their module.c, and what both share.
SERVER_OBJ := $(patsubst %,$(BUILD)/obj/csrc/%.o,$(call sources,platform base server))
EMU_OBJ := $(patsubst %,$(BUILD)/obj/csrc/%.o,$(filter-out %/module,$(call sources,emulator))) $(SERVER_OBJ)
TESTER_OBJ := $(patsubst %,$(BUILD)/obj/csrc/%.o,$(filter-out %/module,$(call sources,tester))) $(SERVER_OBJ)

MODULE_NAMES := core $(if $(HAVE_SERVER),tester/core gateway/core) $(if $(HAVE_EMU),emulator/core)
MODULES := $(foreach v,$(ABIS),$(MODULE_NAMES:%=$(BUILD)/$(v)/flux2/%.$(EXTENSION)))

# An older libcurl would end in a compiler's riddle.
CURL_HERE := $(shell $(PKG_CONFIG) --modversion libcurl 2>/dev/null)
CURL_OLD := $(if $(and $(CURL_HERE),$(filter posix,$(TARGET))),$(shell $(PKG_CONFIG) --atleast-version=$(CURL_MIN) libcurl || echo y))
$(ENGINE_OBJ): $(if $(CURL_OLD),curl-too-old)
.PHONY: curl-too-old
curl-too-old:
	@echo "flux2 needs libcurl $(CURL_MIN) or newer; here is $(CURL_HERE)" >&2; exit 1

.PHONY: all
all: $(MODULES) ## builds the modules for each Lua whose headers are here
	@test -n "$(ABIS)" || { echo "no Lua headers found: see 'make deps'" >&2; exit 1; }

# The libraries' flags by the layer of a source.
lib_cflags = $(or $(LIB_CFLAGS_$(word 2,$(subst /, ,$(1)))),$(CORE_CFLAGS))
LIB_CFLAGS_emulator = $(EMU_CFLAGS)
LIB_CFLAGS_server = $(SERVER_CFLAGS)
LIB_CFLAGS_tester = $(SERVER_CFLAGS)
LIB_CFLAGS_gateway = $(SERVER_CFLAGS)

$(BUILD)/obj/csrc/%.o: csrc/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(call lib_cflags,$<) -MMD -MP -c $< -o $@

define abi_rules
$(BUILD)/obj/$(1)/%.o: csrc/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_CFLAGS) $$(call lib_cflags,$$<) $$(call lua_cflags,$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/flux2/core.$(EXTENSION): $(BINDING:%=$(BUILD)/obj/$(1)/%.o) $(ENGINE_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(CORE_LIBS) $(call lua_library,$(1)) -o $$@

$(BUILD)/$(1)/flux2/emulator/core.so: $(BUILD)/obj/$(1)/emulator/module.o $(EMU_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(EMU_LIBS) -ldl -lm -o $$@

$(BUILD)/$(1)/flux2/tester/core.so: $(BUILD)/obj/$(1)/tester/module.o $(TESTER_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(SERVER_LIBS) -ldl -lm -o $$@

$(BUILD)/$(1)/flux2/gateway/core.so: $(BUILD)/obj/$(1)/gateway/module.o $(SERVER_OBJ)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) $$^ $$(SERVER_LIBS) -ldl -lm -o $$@
endef
$(foreach v,$(ABIS),$(eval $(call abi_rules,$(v))))

# --- programs that test -------------------------------------------------------------------------
# A fuzz target, with FLAVOUR=fuzz CC=clang (tools/fuzz): the engine, which knows no Lua, and one file of fuzz/.
FUZZERS := $(patsubst fuzz/%.c,build/fuzz/run/%,$(wildcard fuzz/*.c))
.PHONY: fuzzers
fuzzers: $(FUZZERS)

build/fuzz/schema.h: fuzz/schema.lua lua/flux2/provider/common.lua lua/flux2/image_signature.lua
	@mkdir -p $(@D)
	LUA_PATH="lua/?.lua;;" "$$(tools/find-lua)" fuzz/schema.lua >$@

build/fuzz/run/%: fuzz/%.c fuzz/fuzz.h build/fuzz/schema.h $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(CORE_CFLAGS) -Ibuild/fuzz -fsanitize=fuzzer $< $(ENGINE_OBJ) $(CORE_LIBS) -ldl -lm -o $@

# What specs preload into programs, or load as C functions, for each ABI: build/<lua>/spec/NAME.so.
SPEC_LIBRARIES := $(filter-out alloc_host,$(patsubst spec/support/%.c,%,$(wildcard spec/support/*.c)))
.PHONY: spec-libraries
spec-libraries: $(foreach v,$(ABIS),$(SPEC_LIBRARIES:%=$(BUILD)/$(v)/spec/%.so))

# -z nodelete: Lua unloads a library at its end, perhaps with a signal handler in it.
define spec_library_rule
$(BUILD)/$(1)/spec/%.so: spec/support/%.c
	@mkdir -p $$(@D)
	$$(CC) -std=gnu11 -Wall -Wextra $$(CFLAGS) -fPIC -shared -Wl,-z,nodelete $$(call lua_cflags,$(1)) $$< -ldl -o $$@
endef
$(foreach v,$(ABIS),$(eval $(call spec_library_rule,$(v))))

# A host whose allocator fails: alloc-host-5.4, alloc-host-luajit.
$(BUILD)/alloc-host-%: spec/support/alloc_host.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) $(SAN_$(FLAVOUR)) $< $$($(PKG_CONFIG) --cflags --libs $(or $(PKG_$*),$*)) -ldl -o $@

# What the benchmarks run: see bench/README.md.
.PHONY: bench-programs
bench-programs: build/bench/service build/bench/measure build/bench/tuned build/bench/paths \
    $(foreach v,$(filter 5.1 5.4,$(ABIS)),build/bench/$(v)/bench_meter.so)

build/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 -g $< $(CORE_CFLAGS) $(CORE_LIBS) -ljansson -o $@

build/bench/paths: bench/paths.c build/fuzz/schema.h $(ENGINE_OBJ)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Icsrc -pthread $(WARNINGS) -O2 -g -Ibuild/fuzz $< $(ENGINE_OBJ) $(CORE_CFLAGS) $(CORE_LIBS) -ldl -lm -o $@

build/bench/%/bench_meter.so: bench/meter.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 -g -fPIC -shared $< $(call lua_cflags,$*) -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# --- for people --------------------------------------------------------------------------------
# The targets below install what they need (tools/deps), then start make again: the libraries that a first
# make could not see are there by then.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
AGAIN = $(MAKE) --no-print-directory -s $(PARALLEL)

# A machine that has LuaJIT and no Lua 5.4 need not install one to see the demo.
DEMO_LUA ?= $(if $(PKG_5.4),5.4,$(if $(shell command -v luajit),$(if $(PKG_5.1),luajit,5.4),5.4))
OUT ?= demo/garden.png

.PHONY: demo
demo: ## makes an image: PROMPT="a red fox" OUT=fox.png; with FLUX2_API_KEY set, at the real service
	@tools/deps build emulator cli $(DEMO_LUA:5.4=lua5.4)
	+@$(AGAIN) all ABIS=$(DEMO_LUA:luajit=5.1)
	@mkdir -p "$$(dirname "$(OUT)")"
	@"$$(tools/find-lua $(DEMO_LUA))" examples/quickstart.lua "$$PROMPT" "$(OUT)"

# `make test` is for each change: what lies directly in spec/, on Lua 5.4 and LuaJIT. Below it, in folders, lie specs that need
# more programs (spec/hosts), that break the system around the module (spec/faults), or that `make check` runs otherwise.
RUNS ?= $(or $(LUA),lua5.4 luajit)
RUN_SPECS = MAKE="$(MAKE) $(PARALLEL)" tools/run-specs -j "$(PROCESSES)" -n "$(REPEAT)"
SPEC ?=
REPEAT ?= 1
PROCESSES ?=
.PHONY: test
test: ## runs the specs on Lua 5.4 and LuaJIT: 3 minutes at most; LUA=luajit SPEC=spec/x_spec.lua for less, REPEAT=20 for more
	@tools/deps build emulator lua5.4 luajit test cli gateway $(if $(findstring spec/hosts,$(SPEC)),hosts)
	+@$(RUN_SPECS) -s "$(SPEC)" $(RUNS)

CHECKS ?= test lint docs bench-check soak openai-sdk hosts generic specs faults rock fuzz browser
.PHONY: check
check: ## runs everything: other Luas, sanitizers, hosts, faults, browser, rocks, fuzzing, lint; CHECKS="lint rock" for some
	@tools/deps build emulator all-luas test hosts cli gateway package lint docs fuzz count browser openai \
	    $(if $(wildcard /usr/lib/postgresql),postgres)
	+@MAKE="$(MAKE)" tools/check $(CHECKS)

.PHONY: test-tsan
test-tsan: ## runs all specs under ThreadSanitizer
	@tools/deps build emulator lua5.4 test hosts cli gateway package
	+@$(RUN_SPECS) -s "$(or $(SPEC),spec)" lua5.4:tsan

ARM64_SPECS := $(patsubst %,spec/%_spec.lua,base64 client config engine errors hostile http2 image jobs json limits load \
    many money polling request response_reader security shutdown spool tools waiting wake wire)
.PHONY: test-arm64
test-arm64: ## runs specs of the core, built for Linux on arm64, in QEMU: minutes; SPEC=spec/x_spec.lua for others
	@tools/deps build emulator lua5.4 luajit test arm64
	+@$(RUN_SPECS) -s "$(or $(SPEC),$(ARM64_SPECS))" $(addsuffix :arm64,$(or $(LUA),lua5.4))

# Left out: what tests the emulator, the tester, the gateway, the launcher, the tools and the documentation, or preloads a
# library.
WINDOWS_SPECS = $(filter-out $(addprefix spec/,$(addsuffix _spec.lua,any_response cli cli_screen cli_tester clock disk docs \
    docs_blocks gateway gateway_dockerfile gateway_ledger gateway_server gateway_uploads gateway_upstream heap input_stream \
    load_core man mutants \
    package signals surface tester tester_guard)) spec/emulator_%,$(wildcard spec/*_spec.lua)) spec/hosts/luv_spec.lua spec/windows
.PHONY: test-windows
test-windows: windows ## runs the specs on luajit.exe and lua54.exe under Wine; LUA=luajit SPEC=spec/x_spec.lua for less
	@tools/deps build emulator lua5.4 luajit test cli windows wine
	+@$(RUN_SPECS) -s "$(or $(SPEC),$(WINDOWS_SPECS))" $(addsuffix :wine,$(or $(LUA),lua5.4 luajit))

.PHONY: test-valgrind
test-valgrind: ## runs all specs in valgrind: an hour or more
	@tools/deps build emulator lua5.4 test hosts cli gateway package valgrind
	+@$(RUN_SPECS) -s "$(or $(SPEC),spec)" lua5.4:valgrind

# OpenAI's SDK, which one spec runs against the emulator: no part of flux2. Without it that spec is pending.
.PHONY: openai-sdk
openai-sdk: build/openai-sdk/node_modules ## installs OpenAI's SDK for Node into build/, for spec/openai-sdk/sdk_spec.lua

build/openai-sdk/node_modules: $(addprefix spec/openai-sdk/,package.json package-lock.json .npmrc)
	@tools/deps openai
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --no-audit --no-fund --no-update-notifier && touch node_modules

.PHONY: dist
dist: windows ## packs the source, and what is built for Linux x64, Linux arm64 and Windows x64, into build/dist, with SHA256SUMS
	@tools/deps emulator all-luas arm64
	@tools/dist
	+@$(AGAIN) all
	@tools/linux x64 build strip
	@tools/arm64-deps
	+@$(AGAIN) all TARGET=arm64
	@tools/linux arm64 build/arm64 aarch64-linux-gnu-strip
	@cd build/dist && sha256sum flux2-$(VERSION).tar.gz flux2-$(VERSION)-linux-*.tar.gz windows/flux2-$(VERSION)-*.zip >SHA256SUMS
	@echo build/dist/SHA256SUMS

.PHONY: windows
windows: ## builds the modules for Windows x64 with mingw, and packs them for lua51.dll and lua54.dll into build/dist/windows
	@tools/deps build lua5.4 cli package windows
	@tools/windows-deps
	+@$(AGAIN) all TARGET=windows
	@tools/windows

.PHONY: rock
rock: ## makes rocks for Lua 5.4 and LuaJIT, installs each into an empty tree and runs the quickstart from there
	@tools/deps build emulator lua5.4 luajit cli package
	@tools/rock

.PHONY: love
love: ## packs the gallery as a .love file, with what must lie beside it, into build/dist/love
	@tools/deps build emulator cli luajit package love
	+@$(AGAIN) all ABIS=5.1
	@tools/love

# What drives the browser in the specs of the tester's page: no part of flux2.
build/browser/node_modules: $(addprefix spec/browser/,package.json package-lock.json .npmrc)
	@tools/deps browser
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier && touch node_modules

.PHONY: test-browser
test-browser: ## runs the specs of the tester's page in Chromium: LUA=luajit SPEC=spec/browser/x.spec.mjs for less
	@tools/deps build emulator lua5.4 luajit browser
	+@MAKE="$(MAKE) $(PARALLEL)" tools/run-browser -s "$(SPEC)" $(or $(LUA),lua5.4 luajit)

.PHONY: test-every
test-every: ## fails every single allocation and disk call in turn, not just some: minutes
	+@ALLOC_STEP=1 DISK_STEP=1 TEST_TIMEOUT=1200 $(MAKE) --no-print-directory test SPEC="spec/faults/alloc_failure_spec.lua \
		spec/faults/short_heap_spec.lua spec/faults/disk_faults_spec.lua spec/faults/disk_faults_cli_spec.lua"

.PHONY: soak
soak: ## 20,000 tasks at a service in which everything breaks, then 100 kills with a spool: the books must agree
	@tools/deps build emulator lua5.4 test
	+@$(AGAIN) all ABIS=5.4
	@"$$(tools/find-lua 5.4)" tools/soak.lua $(or $(TASKS),20000) $(or $(SEED),1)
	+@SPOOL_ROUNDS=100 TEST_TIMEOUT=1200 $(MAKE) --no-print-directory test LUA=lua5.4 SPEC=spec/faults/spool_crash_spec.lua

.PHONY: mutants
mutants: ## mutation testing: N=150 random faults by SEED=1, one at a time; FILES="csrc/job.c" ONLY=survivors for less
	@tools/deps build emulator lua5.4 luajit test hosts cli package
	@"$$(tools/find-lua 5.4)" tools/mutants/main.lua N=$(N) SEED=$(SEED) JOBS=$(JOBS) FILES="$(FILES)" ONLY=$(ONLY)

.PHONY: fuzz
fuzz: ## feeds damaged answers to whatever reads them: FUZZ_SECONDS=60 for each target, 0 for the committed inputs only
	@tools/deps build lua5.4 fuzz
	+@MAKE="$(MAKE) $(PARALLEL)" tools/fuzz

BENCH ?= plain frames
.PHONY: bench
bench: ## measures beside others: BENCH="plain http2 large frames love memory shutdown startup plots", see bench/README.md
	@tools/deps build emulator lua5.4 luajit bench
	+@$(AGAIN) all bench-programs
	@LUA="$$(tools/find-lua 5.4)" bench/run $(BENCH)

.PHONY: bench-check
bench-check: ## counts instructions; fails when a path has grown by more than 5 % beyond bench/budget.txt
	@tools/deps build lua5.4 luajit count
	+@$(AGAIN) all bench-programs ABIS="5.1 5.4"
	@LUA="$$(tools/find-lua 5.4)" bench/run check

.PHONY: lint
lint: ## reads the code: luacheck, clang-format, warnings as errors, cppcheck; and the documentation
	@tools/deps build emulator lua5.4 luajit lint
	+@MAKE="$(MAKE) $(PARALLEL)" tools/lint

# VitePress, which builds the site: no part of flux2.
build/docs-node/node_modules: $(addprefix docs/,package.json package-lock.json .npmrc)
	@tools/deps docs
	@mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier && touch node_modules

.PHONY: docs
docs: build/docs-node/node_modules ## builds the documentation's site: build/docs/index.html
	@tools/deps build emulator lua5.4
	+@$(AGAIN) all ABIS=5.4
	@tools/docs/build

.PHONY: format
format: ## lays out the C code as lint demands
	@tools/deps lint
	clang-format -i $$(find csrc -name '*.[ch]')

.PHONY: deps
deps: ## installs what users need: to build the module, the emulator and the command line for Lua 5.4
	@tools/deps build emulator lua5.4 cli gateway

.PHONY: dev-deps
dev-deps: deps ## installs what development needs as well: tests, hosts, packages, lint, documentation
	@tools/deps luajit test hosts package lint docs

# --- installing --------------------------------------------------------------------------------
# For each Lua: what is written in Lua, and what is compiled. LuaRocks names both folders itself, and installs the
# program in its own way.
BINDIR ?= $(PREFIX)/bin
lua_dir = $(or $(INST_LUADIR),$(DESTDIR)$(PREFIX)/share/lua/$(1))
lib_dir = $(or $(INST_LIBDIR),$(DESTDIR)$(PREFIX)/lib/lua/$(1))

define install_abi
	@for file in $$(cd lua && find flux2 -type f); do \
	    install -d "$(call lua_dir,$(1))/$${file%/*}" && \
	    install -m 644 "lua/$$file" "$(call lua_dir,$(1))/$$file" || exit 1; \
	done
	@for file in $$(cd $(BUILD)/$(1) && find flux2 -name '*.$(EXTENSION)'); do \
	    install -d "$(call lib_dir,$(1))/$${file%/*}" && \
	    install -m 755 "$(BUILD)/$(1)/$$file" "$(call lib_dir,$(1))/$$file" || exit 1; \
	done
	@echo "flux2 $(VERSION) for Lua $(1): $(call lua_dir,$(1))/flux2 and $(call lib_dir,$(1))/flux2"

endef

.PHONY: install
install: all ## installs under PREFIX (/usr/local) for each Lua that it was built for; DESTDIR for packagers
	$(foreach v,$(ABIS),$(call install_abi,$(v)))
	$(if $(INST_LUADIR),,@tools/install-program "$(DESTDIR)" "$(PREFIX)" "$(BINDIR)" "$(BUILD)" $(ABIS))

.PHONY: uninstall
uninstall: ## removes what install made
	rm -rf $(foreach v,5.1 5.2 5.3 5.4,"$(call lua_dir,$(v))/flux2" "$(call lib_dir,$(v))/flux2")
	@tools/install-program --remove "$(DESTDIR)" "$(PREFIX)" "$(BINDIR)"

.PHONY: clean
clean: ## removes what was built
	rm -rf build

.PHONY: help
help: ## shows this
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  make %-10s %s\n' "$$name" "$$text"; done

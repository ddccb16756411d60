# make install, and the Debian packages. The directories have GNU's names and can all be given:
#
#     make install PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu DESTDIR=/tmp/image
#
# What `make library` built is installed as it is, so that `sudo make install` needs no Rust; only
# what is missing is built. In the installed files every path is relative to the file itself where
# its directory lies below the prefix, so that the whole prefix can be moved.

PREFIX       ?= /usr/local
prefix       ?= $(PREFIX)
LIBDIR       ?= $(prefix)/lib
libdir       ?= $(LIBDIR)
INCLUDEDIR   ?= $(prefix)/include
includedir   ?= $(INCLUDEDIR)
pkgconfigdir ?= $(libdir)/pkgconfig
cmakedir     ?= $(libdir)/cmake/elkapi

INSTALL         ?= install
INSTALL_DATA    ?= $(INSTALL) -m 644
INSTALL_PROGRAM ?= $(INSTALL) -m 755

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
ABI     := $(shell sed -n 's/^\#define ELK_ABI_VERSION //p' include/elkapi.h)
SONAME  := libelkapi.so.$(ABI)
SHARED  := libelkapi.so.$(VERSION)
HEADERS := elkapi.h elkapi.ffi.h elkapi.hpp

.PHONY: install install-headers install-shared install-static install-pkgconfig install-cmake uninstall deb abi

install: install-headers install-shared install-static install-pkgconfig install-cmake ## to PREFIX=/usr/local below DESTDIR=; LIBDIR= and others can be given

$(RELEASE)/libelkapi.so $(STATIC)/libelkapi.a $(STATIC)/native-libs:
	@$(MAKE) --no-print-directory library

install-headers:
	@$(INSTALL) -d '$(DESTDIR)$(includedir)'
	@$(INSTALL_DATA) $(HEADERS:%=include/%) '$(DESTDIR)$(includedir)'

install-shared: $(RELEASE)/libelkapi.so
	@$(INSTALL) -d '$(DESTDIR)$(libdir)'
	@$(INSTALL_PROGRAM) $(RELEASE)/libelkapi.so '$(DESTDIR)$(libdir)/$(SHARED)'
	@ln -sf $(SHARED) '$(DESTDIR)$(libdir)/$(SONAME)'
	@ln -sf $(SONAME) '$(DESTDIR)$(libdir)/libelkapi.so'

install-static: $(STATIC)/libelkapi.a
	@$(INSTALL) -d '$(DESTDIR)$(libdir)'
	@$(INSTALL_DATA) $(STATIC)/libelkapi.a '$(DESTDIR)$(libdir)/libelkapi.a'

install-pkgconfig: $(STATIC)/native-libs
	@$(INSTALL) -d '$(DESTDIR)$(pkgconfigdir)'
	@packaging/fill packaging/elkapi.pc.in '$(DESTDIR)$(pkgconfigdir)/elkapi.pc' \
		from='$(pkgconfigdir)' prefix='$(prefix)' libdir='$(libdir)' includedir='$(includedir)' \
		VERSION=$(VERSION) ABI=$(ABI) NATIVE_LIBS="$$(cat $(STATIC)/native-libs)"

install-cmake: $(STATIC)/native-libs
	@$(INSTALL) -d '$(DESTDIR)$(cmakedir)'
	@for file in elkapiConfig.cmake elkapiConfigVersion.cmake; do \
		packaging/fill packaging/$$file.in '$(DESTDIR)$(cmakedir)/'$$file \
			from='$(cmakedir)' prefix='$(prefix)' libdir='$(libdir)' includedir='$(includedir)' \
			VERSION=$(VERSION) ABI=$(ABI) NATIVE_LIBS="$$(tr ' ' ';' <$(STATIC)/native-libs)"; \
	done

uninstall: ## takes back what install wrote, told the same directories
	@rm -f $(HEADERS:%='$(DESTDIR)$(includedir)/%')
	@rm -f '$(DESTDIR)$(libdir)'/{$(SHARED),$(SONAME),libelkapi.so,libelkapi.a}
	@rm -f '$(DESTDIR)$(pkgconfigdir)/elkapi.pc' '$(DESTDIR)$(cmakedir)'/elkapiConfig{,Version}.cmake
	@rmdir '$(DESTDIR)$(cmakedir)' 2>/dev/null || true

deb: ## build/deb/libelkapi0_*.deb and libelkapi-dev_*.deb
	@packaging/build-deb

abi: ## writes the promised interface anew, packaging/abi, after functions were added; needs abigail-tools
	@python3 packaging/abi.py

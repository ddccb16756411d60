# Python distributions: wheels for any Linux with glibc 2.17, and a source archive that needs no network.

PYTHON_TOOLS := build/tools/python
DIST         ?= build/wheels
# Linked by zig against the symbols of glibc 2.17, which is what manylinux2014 promises. TARGET for another machine.
TARGET       ?= $(shell uname -m)-unknown-linux-gnu
MATURIN      := PATH="$$PWD/$(PYTHON_TOOLS)/bin:$$PATH" CARGO_TARGET_DIR="$$PWD/build/wheels-target" maturin
WHEEL_FLAGS  := --release --locked --zig --target $(TARGET) --compatibility manylinux2014

.PHONY: wheels sdist sdist-vendored

$(PYTHON_TOOLS)/.ready: packaging/python-tools.txt
	@python3 -m venv $(PYTHON_TOOLS)
	@$(PYTHON_TOOLS)/bin/python -m pip install -q --disable-pip-version-check -r packaging/python-tools.txt
	@touch $@

wheels: $(PYTHON_TOOLS)/.ready ## build/wheels: wheels of elkapi and elkapi-sim for Linux with glibc 2.17 or later
	@rm -f $(DIST)/*.whl
	@$(MATURIN) build -q $(WHEEL_FLAGS) -o $(DIST)
	@$(MATURIN) build -q $(WHEEL_FLAGS) -m crates/elkapi-sim/Cargo.toml -o $(DIST)

sdist: $(PYTHON_TOOLS)/.ready ## build/wheels: the source archive of the Python package
	@rm -f $(DIST)/elkapi-*.tar.gz
	@$(MATURIN) sdist -o $(DIST) >/dev/null 2>&1

# A folder in it cannot be called target: cargo's own one is left out of archives by that name.
sdist-vendored: sdist ## build/wheels/vendored: the same with every crate, to be built without network
	@rm -rf build/vendored && mkdir -p build/vendored $(DIST)/vendored
	@tar -xzf $(DIST)/elkapi-$(VERSION).tar.gz -C build/vendored
	@cd build/vendored/elkapi-$(VERSION) && mkdir -p .cargo && cargo vendor vendor >.cargo/config.toml 2>/dev/null
	@tar --sort=name --owner=0 --group=0 --numeric-owner -czf $(DIST)/vendored/elkapi-$(VERSION).tar.gz \
		-C build/vendored elkapi-$(VERSION)

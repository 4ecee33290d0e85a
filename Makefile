# Everything that a fresh machine with Python >= 3.11, git and make needs; `make` alone lists the targets.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV_VERSION := 0.13.8
UV := .uv/bin/uv
export UV_PYTHON_DOWNLOADS := never

.PHONY: help install demo up test unit lint benchmarks servers clean
help:
	@echo "make demo        build the environment, start the platform, convert a sample archive"
	@echo "make up          start the platform on the data of last time"
	@echo "make test        run all tests"
	@echo "make unit        run the unit tests"
	@echo "make lint        ruff and mypy --strict"
	@echo "make benchmarks  list the benchmarks; each is run by hand"
	@echo "make servers     install the servers that the integration tests use (Debian, as root or with sudo)"
	@echo "make clean       remove the environment; data in .groundtrack stay"

install: .venv/.installed
demo: install
	.venv/bin/groundtrack demo
up: install
	.venv/bin/groundtrack up
test: .venv/.developing
	.venv/bin/pytest -n 2 --dist loadfile
unit: .venv/.developing
	.venv/bin/pytest tests/unit
lint: .venv/.developing
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
benchmarks:
	@grep -H -m1 '"""' tests/benchmarks/*.py | sed 's/:"""/: /; s/"""//'
servers:
	.ci/servers
clean:
	rm -rf .venv .uv

$(UV):
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 is needed; set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
# --inexact: users' and developers' packages share the environment.
.venv/.installed: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --no-dev --inexact --compile-bytecode --python $(PYTHON)
	@touch $@
.venv/.developing: pyproject.toml uv.lock | $(UV)
	$(UV) sync --locked --inexact --compile-bytecode --python $(PYTHON)
	@touch $@ .venv/.installed

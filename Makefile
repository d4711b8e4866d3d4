# Every recipe is one script of scripts/; the scripts set up what they need, so any target may be the first.
.DEFAULT_GOAL := help
.PHONY: help setup build quickstart test test-cpp test-python test-cluster test-old-torch test-asan test-tsan fuzz benchmark benchmark-hosts test-setup abi abi-renew deb wheels docs format lint clean

# NP: number of ranks of the quickstart.  TORCH: which torch to install (see `make help`).
NP ?= 4
TORCH ?=
export NP TORCH

help:         ## show this list
	@echo "usage: make TARGET [NP=4] [TORCH=...]"
	@sed -n 's/^\([a-z-]*\): *## /  \1@/p' $(firstword $(MAKEFILE_LIST)) | awk -F@ '{printf "%-18s%s\n", $$1, $$2}'
	@echo
	@echo "  NP=N              number of ranks of the quickstart (4)"
	@echo "  TORCH=WHAT        a requirement (torch==2.4.0), a wheel (path or URL), none, or auto. Is remembered in .venv."
	@echo "                    auto: the torch of your python3 if it has one, else a CPU wheel unless there is an NVIDIA device."

setup:        ## install what is missing: system packages (apt), and .venv with Python's
	@scripts/setup.sh
build:        ## build the library, the tools and the Python module into build/release
	@scripts/build.sh
quickstart:   ## train on Fashion-MNIST with NP ranks; results in runs/quickstart
	@scripts/quickstart.sh
test:         ## run every test that needs nothing but this machine: C++ and Python
	@scripts/test.sh cpp python
test-cpp:     ## run the C++ tests
	@scripts/test.sh cpp
test-python:  ## run the Python tests
	@scripts/test.sh python
test-cluster: ## run the tests that need daemons, network namespaces or MPI
	@scripts/test.sh cluster
test-old-torch: ## run the Python tests of operations and optimizers on the oldest torch, or on TORCH
	@scripts/test_old_torch.sh
test-asan:    ## run the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/test.sh asan
test-tsan:    ## run the C++ tests under ThreadSanitizer
	@scripts/test.sh tsan
test-setup:   ## run `make quickstart test` in new trees of Debian, CASES (bookworm); as root
	@scripts/test_setup.sh $(CASES)
fuzz:         ## look for bytes that break a parser, for FUZZ_SECONDS (600) each; needs clang, which it installs
	@scripts/fuzz.sh $(FUZZ_SECONDS)
benchmark:    ## measure neighbour averaging against a local average and gloo, windows against a copy and Open MPI
	@scripts/benchmark.sh
benchmark-hosts: ## measure jobs over hosts (network namespaces, as root)
	@scripts/benchmark_hosts.sh
abi:          ## compare the binary interface of the library with the one that is kept in tests/abi
	@scripts/abi.sh
abi-renew:    ## keep the binary interface as it is now
	@scripts/abi.sh --renew
deb:          ## make Debian packages of the library, its headers and the tools, in dist/
	@scripts/deb.sh
wheels:       ## make wheels with PYTHONS (the one of .venv) in dist/, with all they need but torch
	@scripts/wheels.sh $(PYTHONS)
docs:         ## write the reference of the public headers to build/docs/html; installs doxygen
	@scripts/docs.sh
format:       ## rewrite the sources as clang-format and ruff want them
	@scripts/lint.sh --fix
lint:         ## check format, clang-tidy, ruff, mypy and shellcheck
	@scripts/lint.sh
clean:        ## remove build outputs; keeps .venv, data and runs
	@scripts/clean.sh

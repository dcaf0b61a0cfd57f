# Each target is one line to bootstrap.py, which makes .venv first; without make: python bootstrap.py demo|test|...
PYTHON ?= python3

.PHONY: demo test test-all check bench peers clean
demo:      ; $(PYTHON) bootstrap.py demo
test:      ; $(PYTHON) bootstrap.py test
test-all:  ; $(PYTHON) bootstrap.py test-all
check:     ; $(PYTHON) bootstrap.py check
bench:     ; $(PYTHON) bootstrap.py bench
peers:     ; $(PYTHON) bootstrap.py peers
clean:     ; rm -rf .venv .venv-peers build dist runs/demo .pytest_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

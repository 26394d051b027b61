# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?=
export PYTHON

.PHONY: demo test test-fast test-all check format docs env browser screens clean

demo: browser            ## the embedded model does a practice page it never saw
	.venv/bin/agent demo enter-password --seed 900001

test: browser screens    ## the whole test suite
	.venv/bin/python -m pytest -n 2 --dist loadfile

test-fast: env           ## the pure tests: no browser, desktop, phone or large model
	.venv/bin/python -m pytest --fast -n 2

test-all: browser screens  ## with the slow proofs
	.venv/bin/python -m pytest -n 2 --dist loadfile -m "slow or not slow" --timeout 1800

check: env               ## format, lint, types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

format: env
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

docs: env                ## the reference pages, from the code, and the site in site/
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	.venv/bin/python scripts/reference.py
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet

env: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt scripts/environment.sh
	scripts/environment.sh

browser: env
	@scripts/browser.sh

screens:                 # what the tests of desktop and phone drive: an X server, small programs, adb
	@scripts/desktop.sh
	@scripts/android.sh

clean:
	rm -rf .venv build dist site *.egg-info

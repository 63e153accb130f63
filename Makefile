# Both first commands do all the set-up that they need: a virtual environment in .venv, nothing outside it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: conformance test check types spec cover sample power soak grades numerics soundness speed clean

conformance: .venv/parallel  ## check the NumPy and the bundled C backend on all cores, and write the page
	$(BIN)/pytest conformance/ --backend=numpy --backend=c --grade -n auto

test: .venv/full  ## the project's own tests
	$(BIN)/pytest tests/ -n 2

check: .venv/full types  ## what must hold before a change lands, besides the tests
	$(BIN)/ruff check .
	$(BIN)/pytest conformance/ --backend=numpy --backend=c --backend=torch --profile=smoke -q

types: .venv/full  ## mypy --strict on the package as it is installed
	rm -rf build/typed && $(BIN)/python -m pip install -q --no-deps --target build/typed .
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p convspec

spec: .venv/core  ## docs/spec/ and docs/coverage.md, from the classes
	$(BIN)/python -m convspec.conformance.spec_pages docs

power: .venv/full  ## docs/power.md: every known bug, after how many cases it is caught; goes on where it was stopped
	$(BIN)/python -m benchmarks.power

soak: .venv/full  ## ten seeds of the thorough profile on numpy, c and torch; goes on where it was stopped
	$(BIN)/python -m benchmarks.soak

grades: .venv/full  ## docs/grades.md: how exactly numpy, c and torch compute, found from outside
	$(BIN)/python -m convspec.conformance.grading --write docs/grades.md numpy c torch || test $$? = 1  # 1: some fall short

numerics: .venv/full  ## docs/numerics.md: its tables, measured anew
	$(BIN)/python -m benchmarks.numerics_tables --write docs/numerics.md

soundness: .venv/core  ## docs/soundness.md: the bounds, tried on toy machines; minutes
	$(BIN)/python -m benchmarks.soundness --write docs/soundness.md

speed: .venv/full  ## docs/speed.md: how long the suite takes here, beside its budgets; on a machine that does nothing else
	$(BIN)/python -m benchmarks.speed --write docs/speed.md

cover: .venv/core  ## conformance/cover/*.json: the parameters that the sweep draws first; minutes, for each operation
	$(BIN)/python -m convspec.conformance.cover $(OPS)

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -e . -c constraints.txt
	touch $@

.venv/parallel: .venv/core
	$(BIN)/python -m pip install -q -e '.[parallel]' -c constraints.txt
	touch $@

.venv/full: .venv/core
	$(BIN)/python -m pip install -q -e '.[torch,test,lint]' -c constraints.txt
	touch $@

clean:
	rm -rf .venv build dist *.egg-info conformance-results .pytest_cache .mypy_cache .ruff_cache

sample: .venv/core  ## docs/report.png: the page of a run with a failing backend, as a headless Chromium draws it
	$(BIN)/pytest conformance/ --backend=numpy --backend=c --backend=examples/swapped_strides.py --profile=smoke \
	  --results-dir=build/sample -q || true
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1200,1000 \
	  --user-data-dir=build/chromium --screenshot=docs/report.png "file://$$(readlink -f build/sample/latest)/report.html" 2>/dev/null

# The course's commands. Each sets up .venv when it is missing or stale; nothing but Python 3.11 to 3.13 is needed.

SUITABLE = import sys; v = sys.version_info[:2]; print("%d.%d" % v if (3, 11) <= v <= (3, 13) else "")
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,\
	$(if $(shell $(name) -c '$(SUITABLE)' 2>/dev/null),$(name))))
VERSION := $(shell $(PYTHON) -c '$(SUITABLE)' 2>/dev/null)
BIN := $(CURDIR)/.venv/bin
READY := .venv/ready-$(VERSION)
# A checkout that was moved, or a Python that is gone, leaves a useless .venv behind: forget that it was ready.
FORGET := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$(CURDIR)" ] && "$(BIN)/python" -c "" 2>/dev/null || rm -f $(READY))
RUN := PATH="$(BIN):$$PATH" JUPYTER_PREFER_ENV_PATH=1
# Jupyter asks root (in a container, say) to confirm; OPTIONS are more options of JupyterLab: OPTIONS=--no-browser
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab test notebooks check grade bench execute

help:
	@echo "make lab                    open JupyterLab on the labs"
	@echo "make test                   run the whole test suite"
	@echo "make notebooks              write lectures/, solutions/ and labs/ from units/"
	@echo "make check                  are the notebooks up to date with units/? Is the code in order?"
	@echo "make execute                run every lecture and every solution"
	@echo "make grade UNIT=06_...      grade what lies in submitted/, in a sandbox (OPTIONS=\"--student ann\")"
	@echo "make bench                  time our methods against the peer libraries"

$(READY): pyproject.toml constraints.txt
	@if [ -z "$(VERSION)" ]; then \
		echo "No Python 3.11, 3.12 or 3.13 was found$(if $(PYTHON), ($(PYTHON) is none)). Install one (from python.org, with conda" >&2; \
		echo "or your system's packages), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi
	@echo "Setting up .venv with Python $(VERSION) (a few minutes the first time) ..."
	@$(PYTHON) -m venv --clear .venv
	@"$(BIN)/python" -m pip install --quiet --upgrade pip
	@"$(BIN)/python" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@echo "$(CURDIR)" > $@
	@echo ".venv is ready."

lab: $(READY)
	$(RUN) jupyter lab --notebook-dir="$(CURDIR)" --LabApp.default_url=/lab/tree/labs $(AS_ROOT) $(OPTIONS)

test: $(READY)
	$(RUN) OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadgroup

notebooks: $(READY)
	$(RUN) python -m course_utils.notebooks

check: $(READY)
	$(RUN) python -m course_utils.notebooks --check
	$(RUN) ruff check .
	$(RUN) ruff format --check .

execute: $(READY)
	$(RUN) OMP_NUM_THREADS=1 python -m pytest --nbmake --nbmake-timeout=300 -n 2 lectures solutions

grade: $(READY)
	@test -n "$(UNIT)" || { echo "Which unit? make grade UNIT=06_gradient_methods" >&2; exit 2; }
	@ls submitted/*/$(UNIT)/$(UNIT).ipynb >/dev/null 2>&1 || \
		{ echo "Nothing to grade: put each submission at submitted/STUDENT/$(UNIT)/$(UNIT).ipynb" >&2; exit 1; }
	@echo "1/5 the gradebook learns the cells and points of $(UNIT) (your labs/ stay as they are)"
	$(RUN) nbgrader generate_assignment "$(UNIT)" --force --CourseDirectory.release_directory=build/release
	@echo "2/5 what is wrong with the submitted files?"
	$(RUN) python -m course_utils.grading check "$(UNIT)" || [ $$? = 1 ]
	@echo "3/5 grading submitted/ in a sandbox"
	$(RUN) python -m course_utils.grading autograde "$(UNIT)" $(OPTIONS) || [ $$? = 1 ]
	@echo "4/5 writing feedback/"
	$(RUN) python -m course_utils.grading feedback "$(UNIT)"
	@echo "5/5 writing grades.csv and reports/"
	$(RUN) python -m course_utils.grading export "$(UNIT)"
	@cat grades.csv

bench: $(READY)
	$(RUN) OMP_NUM_THREADS=1 python -m benchmarks

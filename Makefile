# Espalier: make run trains, make test tests. Both need Go and make only.

GO    ?= go
BIN   := espalier
FLAGS := -buildvcs=false -trimpath

.PHONY: all build run test race portable test-emulated test-cuda check bench cluster-demo chaos bench-allreduce elections sim model clean

all: build

build:
	$(GO) build $(FLAGS) -o $(BIN) ./launch/espalier

# The main job: a growing network on the embedded digits, two workers, compared
# with training the full-size network. Well under a minute.
run: build
	./$(BIN) train digits

# The tests of the whole tree, about two minutes on two cores with the build.
test:
	$(GO) vet ./...
	$(GO) test ./...

# What the race detector can watch: everything but the assembly.
race:
	$(GO) test -race -short ./...

# The reference kernels, as on a machine without AVX2, and a cross build.
portable:
	ESPALIER_PORTABLE=1 $(GO) test -short ./kernels/... ./trainer/graph
	GOOS=linux GOARCH=arm64 $(GO) vet ./...

# The CUDA kernels on the CPU, against the reference kernels. Needs g++ and cgo.
test-emulated:
	CGO_ENABLED=1 $(GO) vet -tags emulated ./kernels/cuda/...
	CGO_ENABLED=1 $(GO) test -tags emulated ./kernels/cuda/...

# What the build tag cuda adds, on a driver that stands in for a GPU's. Needs
# g++ and cgo, nothing of CUDA; with libnvrtc every kernel is compiled for every
# GPU. gorgonia.org/cu finds our cuda.h through the environment.
SHIM := $(CURDIR)/kernels/cuda/cudashim
CUDA := CGO_ENABLED=1 CGO_CFLAGS="-O2 -g -I$(SHIM)/include" CGO_LDFLAGS="-O2 -g -L$(SHIM)/lib"
test-cuda:
	$(CUDA) $(GO) vet -tags cuda ./kernels/cuda/...
	$(CUDA) $(GO) test -tags cuda ./kernels/cuda/...

# Everything that CI runs.
check: test race portable

# Training steps beside PyTorch, if it is installed; needs a quiet machine.
bench:
	$(GO) run ./bench/compare step

# Three nodes, of which one is killed, one stands still and one joins; in
# network namespaces if that is permitted.
cluster-demo: build
	$(GO) run ./bench/demo -binary ./$(BIN)

# Random schedules of faults over a job that grows, thins and loses bits, with
# real processes: a quarter of an hour. SEED=n is the first one's.
CHAOS ?= 100
chaos: build
	$(GO) run ./bench/chaos -binary ./$(BIN) -n $(CHAOS) $(if $(SEED),-seed $(SEED) -v)

# The generation protocol under 100,000 schedules of faults: about four minutes
# of one core, shared by as many as there are. SEED=n tells the story of one.
SCHEDULES ?= 100000
sim:
ifdef SEED
	$(GO) test ./cluster/sim -run TestSchedules -count=1 -v -seed $(SEED)
else
	$(GO) test ./cluster/sim -run TestSchedules -count=1 -v -timeout 2h -schedules $(SCHEDULES)
endif

# The same protocol as a Promela model; needs spin and a C compiler.
model:
	./cluster/gen/model/check.sh

# Servers of a control set are killed and elect anew, which takes them long.
elections:
	ESPALIER_ELECTIONS=1 $(GO) test -count=1 -v -run TestControlSet ./cluster/control

# Sums over ranks beside OpenMPI and Gloo, if they are installed.
bench-allreduce: build
	./$(BIN) bench allreduce

clean:
	rm -f $(BIN)

// A rank of OpenMPI that takes orders from bench allreduce (see rank.go there
// for the conversation).
//
//   mpicc -O2 -o allreduce allreduce.c
//   mpirun -n 2 ./allreduce SOCKET
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sum(float *data, long n) { MPI_Allreduce(MPI_IN_PLACE, data, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }

// check sums values whose sum is known and exact, and leaves zeros.
static long check(float *data, long n, int rank, int world) {
	long wrong = 0;
	for (long i = 0; i < n; i++) data[i] = (float)(i % 1024 + rank);
	sum(data, n);
	for (long i = 0; i < n; i++) wrong += data[i] != (float)(world * (i % 1024) + world * (world - 1) / 2);
	memset(data, 0, n * 4);
	return wrong;
}

int main(int argc, char **argv) {
	int rank, world;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &world);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (argc != 2 || strlen(argv[1]) >= sizeof a.sun_path) return 64;
	strcpy(a.sun_path, argv[1]);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
		perror("connect");
		return 1;
	}
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	fprintf(out, "hello %d\n", rank);
	fflush(out);
	float *data = NULL;
	long bytes, size = 0;
	int n, batches;
	char line[256];
	while (fgets(line, sizeof line, in)) {
		if (sscanf(line, "run %ld %d %d", &bytes, &n, &batches) != 3) return 64;
		if (bytes != size) {
			free(data);
			if (posix_memalign((void **)&data, 4096, bytes)) return 1;
			size = bytes;
		}
		fprintf(out, "done %ld 0", check(data, bytes / 4, rank, world));
		for (int b = 0; b < batches; b++) {
			MPI_Barrier(MPI_COMM_WORLD);
			long long from = now();
			for (int i = 0; i < n; i++) sum(data, bytes / 4);
			fprintf(out, " %lld", (now() - from) / n);
		}
		fprintf(out, "\n");
		fflush(out);
	}
	MPI_Finalize();
	return 0;
}

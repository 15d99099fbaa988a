/* halo.c - waves on a membrane: a stencil whose edges are exchanged by a neighbourhood collective.
 *
 * The ranks form a Cartesian grid, and each has a block of the field with a rim of one point.
 * Before every time step MPI_Neighbor_alltoallw fills the rim: derived datatypes name the inner
 * points that each neighbour needs and the places where its own go, so that nothing is copied by
 * hand. Where the membrane ends there is no neighbour, and the rim stays zero: it is fixed there.
 * At the end rank 0 collects the field through datatypes of subarrays and compares it with its own
 * computation.
 *
 *   halo [N [STEPS]]     field of N x N points, default 60, and time steps, default 40
 *
 * Exit status: 0 the result is right, 1 it is not, 2 bad arguments.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static const double kSpeed = 0.3; /* squared, in points per step; above 0.5 it is unstable */
static const double kTolerance = 1e-12;

/* Points [first[d], first[d] + length[d]) in both directions, with a rim of one point around. */
struct Block {
  MPI_Comm grid;
  int n;
  int ranks[2], place[2];
  int first[2], length[2];
};

/* What is sent to and received from the neighbours: up, down, left, right. */
struct Halo {
  MPI_Datatype sent[4], got[4];
  MPI_Aint where[4];
  int counts[4];
};

static double* allocate(size_t count) {
  double* memory = calloc(count, sizeof *memory);
  if (memory == NULL) {
    fprintf(stderr, "halo: no memory for %zu numbers\n", count);
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  return memory;
}

static int cut(int n, int place, int places) { return (int)((long long)n * place / places); }

static void set_extent(struct Block* block, const int place[2]) {
  for (int d = 0; d < 2; ++d) {
    block->place[d] = place[d];
    block->first[d] = cut(block->n, place[d], block->ranks[d]);
    block->length[d] = cut(block->n, place[d] + 1, block->ranks[d]) - block->first[d];
  }
}

static struct Block make_block(int n, MPI_Comm comm) {
  struct Block block = {.n = n};
  int ranks, rank, place[2];
  const int periods[2] = {0, 0};
  MPI_Comm_size(comm, &ranks);
  MPI_Dims_create(ranks, 2, block.ranks);
  MPI_Cart_create(comm, 2, block.ranks, periods, 1, &block.grid);
  MPI_Comm_rank(block.grid, &rank);
  MPI_Cart_coords(block.grid, rank, 2, place);
  set_extent(&block, place);
  return block;
}

/* Part of a field with its rim, as a datatype. */
static MPI_Datatype make_part(const struct Block* block, int row, int column, int rows,
                              int columns) {
  const int sizes[2] = {block->length[0] + 2, block->length[1] + 2};
  const int parts[2] = {rows, columns}, starts[2] = {row, column};
  MPI_Datatype part;
  MPI_Type_create_subarray(2, sizes, parts, starts, MPI_ORDER_C, MPI_DOUBLE, &part);
  MPI_Type_commit(&part);
  return part;
}

/* In the order of neighbours of a Cartesian communicator: for each direction lower, then higher. */
static struct Halo make_halo(const struct Block* block) {
  const int rows = block->length[0], columns = block->length[1];
  struct Halo halo = {.where = {0, 0, 0, 0}, .counts = {1, 1, 1, 1}};
  halo.sent[0] = make_part(block, 1, 1, 1, columns);
  halo.got[0] = make_part(block, 0, 1, 1, columns);
  halo.sent[1] = make_part(block, rows, 1, 1, columns);
  halo.got[1] = make_part(block, rows + 1, 1, 1, columns);
  halo.sent[2] = make_part(block, 1, 1, rows, 1);
  halo.got[2] = make_part(block, 1, 0, rows, 1);
  halo.sent[3] = make_part(block, 1, columns, rows, 1);
  halo.got[3] = make_part(block, 1, columns + 1, rows, 1);
  return halo;
}

static void free_halo(struct Halo* halo) {
  for (int i = 0; i < 4; ++i) {
    MPI_Type_free(&halo->sent[i]);
    MPI_Type_free(&halo->got[i]);
  }
}

static double start_value(int n, int row, int column) {
  const double y = (double)row / n - 0.4, x = (double)column / n - 0.6;
  return exp(-60 * (x * x + y * y)) + 0.01 * ((row * 5 + column * 3) % 7);
}

/* The field after `steps` steps, with its rim; the caller frees it. */
static double* simulate(const struct Block* block, int steps) {
  const int rows = block->length[0], columns = block->length[1], line = columns + 2;
  const size_t count = (size_t)(rows + 2) * (size_t)line;
  double* now = allocate(count);
  double* before = allocate(count);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      const double value = start_value(block->n, block->first[0] + i, block->first[1] + j);
      now[(i + 1) * line + j + 1] = before[(i + 1) * line + j + 1] = value;
    }
  }
  struct Halo halo = make_halo(block);
  for (int step = 0; step < steps; ++step) {
    MPI_Neighbor_alltoallw(now, halo.counts, halo.where, halo.sent, now, halo.counts, halo.where,
                           halo.got, block->grid);
    for (int i = 1; i <= rows; ++i) {
      for (int j = 1; j <= columns; ++j) {
        const double* const at = now + i * line + j;
        const double bend = at[-line] + at[line] + at[-1] + at[1] - 4 * at[0];
        before[i * line + j] = 2 * at[0] - before[i * line + j] + kSpeed * bend;
      }
    }
    double* const next = before;
    before = now;
    now = next;
  }
  free_halo(&halo);
  free(before);
  return now;
}

/* Rank 0 of the grid gets the whole field and computes it alone; returns the largest difference. */
static double compare(const struct Block* block, const double* field, int steps) {
  int rank, ranks;
  MPI_Comm_rank(block->grid, &rank);
  MPI_Comm_size(block->grid, &ranks);
  MPI_Request request;
  MPI_Datatype inner = make_part(block, 1, 1, block->length[0], block->length[1]);
  MPI_Isend(field, 1, inner, 0, 0, block->grid, &request);
  double largest = 0;
  if (rank == 0) {
    struct Block whole = make_block(block->n, MPI_COMM_SELF);
    double* const all = allocate((size_t)(whole.n + 2) * (size_t)(whole.n + 2));
    for (int from = 0; from < ranks; ++from) {
      struct Block theirs = *block;
      int place[2];
      MPI_Cart_coords(block->grid, from, 2, place);
      set_extent(&theirs, place);
      MPI_Datatype part = make_part(&whole, theirs.first[0] + 1, theirs.first[1] + 1,
                                    theirs.length[0], theirs.length[1]);
      MPI_Recv(all, 1, part, from, 0, block->grid, MPI_STATUS_IGNORE);
      MPI_Type_free(&part);
    }
    double* const alone = simulate(&whole, steps);
    for (int i = 1; i <= whole.n; ++i) {
      for (int j = 1; j <= whole.n; ++j) {
        const int at = i * (whole.n + 2) + j;
        largest = fmax(largest, fabs(all[at] - alone[at]));
      }
    }
    free(alone);
    free(all);
    MPI_Comm_free(&whole.grid);
  }
  MPI_Wait(&request, MPI_STATUS_IGNORE);
  MPI_Type_free(&inner);
  MPI_Bcast(&largest, 1, MPI_DOUBLE, 0, block->grid);
  return largest;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const int n = argc > 1 ? atoi(argv[1]) : 60, steps = argc > 2 ? atoi(argv[2]) : 40;
  if (n < ranks || n > 20000 || steps < 0) {
    if (rank == 0) fprintf(stderr, "usage: halo [N [STEPS]], N from %d to 20000\n", ranks);
    MPI_Finalize();
    return 2;
  }
  struct Block block = make_block(n, MPI_COMM_WORLD);
  MPI_Barrier(block.grid);
  const double start = MPI_Wtime();
  double* const field = simulate(&block, steps);
  double seconds = MPI_Wtime() - start, slowest;
  MPI_Allreduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, block.grid);
  const double difference = compare(&block, field, steps);
  const int right = difference < kTolerance;
  if (rank == 0) {
    printf("halo: %d x %d points, %d steps, %d x %d ranks in %.3f ms\n", n, n, steps,
           block.ranks[0], block.ranks[1], 1e3 * slowest);
    printf("check: %s, largest difference to the serial field %.1e\n", right ? "right" : "WRONG",
           difference);
  }
  free(field);
  MPI_Comm_free(&block.grid);
  MPI_Finalize();
  return right ? 0 : 1;
}
